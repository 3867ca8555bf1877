"""For all suites: pytest's own plugin for testing plugins. What the suites need else is in the package's plugin."""

pytest_plugins = ["pytester"]


def pytest_addoption(parser):
    """What a suite lets one choose beside the options of the package's plugin."""
    parser.addoption(
        "--search-examples", type=int, default=25, metavar="N",
        help="configurations that suites/equivalence/test_search.py draws for a family",
    )  # fmt: skip
