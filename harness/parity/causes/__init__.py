"""Why a module is at fault: hypotheses, each proved by what follows from it."""

from __future__ import annotations

from harness.parity.causes.prove import Cause, prove

__all__ = ["Cause", "prove"]
