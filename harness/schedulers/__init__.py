"""Diffusion schedulers against the samplers they were ported from, and against exact mathematics."""
