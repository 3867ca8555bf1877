"""Faults of the catalogue of causes, planted in a run of the port while the port itself stays as it is."""

from __future__ import annotations

from harness.parity.planting.catalogue import faults_for
from harness.parity.planting.fault import Fault, Site, Watched, chosen, run_with, watch

__all__ = ["Fault", "Site", "Watched", "chosen", "faults_for", "run_with", "watch"]
