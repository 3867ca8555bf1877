"""What became of a path over many runs: series of comparable times, and where they changed."""
