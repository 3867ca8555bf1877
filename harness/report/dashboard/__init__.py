"""A history as a static site that opens from a disk: no network, and every page reads without a script."""

from __future__ import annotations

from harness.report.dashboard.pages import build
from harness.report.dashboard.story import Story, story

__all__ = ["Story", "build", "story"]
