"""For the person who ports a model: begin a case, walk through it step by step, watch it, begin in a repository."""
