"""A run as a badge for a README: SVG that needs nothing beside it."""

from __future__ import annotations

from xml.sax.saxutils import escape

from harness.report import words
from harness.report.run import Run, exit_status

COLOURS = {0: "#00664c", 1: "#a83503", 3: "#65459a"}
"""By the exit status, as on the page."""

LETTER = 6.6
"""Pixels of a letter, on average, of a font of 11 pixels."""


def badge(run: Run) -> str:
    """Two fields: what it is, and how many results are as they should be."""
    good = words.counts(run)["agree"] + words.counts(run)["registered"]
    label, message = "parity", f"{good} of {len(run.results)}" if run.results else "nothing known"
    left, right = (round(LETTER * len(text)) + 14 for text in (label, message))
    title = escape(f"{label}: {message}")
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img">
<title>{title}</title>
<rect width="{left}" height="20" fill="#3b4149"/>
<rect x="{left}" width="{right}" height="20" fill="{COLOURS[exit_status(run)]}"/>
<g fill="#ffffff" text-anchor="middle" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
<text x="{left / 2:g}" y="14">{label}</text>
<text x="{left + right / 2:g}" y="14">{escape(message)}</text>
</g>
</svg>
"""
