"""`--shard K/N`: only the tests of one part, and how many are left to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import SpecError
from harness.report.shards import read_shard

if TYPE_CHECKING:
    from harness.report.shards import Shard

ELSEWHERE = pytest.StashKey[int]()
"""How many tests are left to other parts, on the config of the process that says so."""


def shard_of(config: pytest.Config) -> Shard | None:
    """The part that the options name; None for all tests.

    Raises:
        pytest.UsageError: they name none that there is.
    """
    text = config.getoption("shard")
    try:
        return read_shard(text) if text else None
    except SpecError as error:
        raise pytest.UsageError(str(error)) from None


def keep_own(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave in `items` those of the part alone. An isolated child runs the test that it is given."""
    shard = shard_of(config)
    if shard is None or config.getoption("isolated_child"):
        return
    own = [item for item in items if shard.holds(item.nodeid)]
    config.stash[ELSEWHERE] = len(items) - len(own)
    items[:] = own
    if hasattr(config, "workeroutput"):
        config.workeroutput["harness_elsewhere"] = config.stash[ELSEWHERE]


class Workers:
    """Under pytest-xdist the workers select: each says how many tests it left, of the same tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any) -> None:
        left = getattr(node, "workeroutput", {}).get("harness_elsewhere")
        if left is not None:
            self.config.stash[ELSEWHERE] = left
