"""One side of a case under other versions of a package: environments for them, and the search for what changed."""
