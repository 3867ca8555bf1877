"""For all suites: pytest's own plugin for testing plugins. What the suites need else is in the package's plugin."""

pytest_plugins = ["pytester"]
