"""Judge a port by its reference: trace both, align the names, compare the arrays, say what was found."""
