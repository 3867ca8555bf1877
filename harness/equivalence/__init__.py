"""Twins of one library in two frameworks, held against each other over their configurations."""
