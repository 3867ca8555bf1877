"""What a path costs, and whether a change made it slower, on machines that do other work meanwhile."""
