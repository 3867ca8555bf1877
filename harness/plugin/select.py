"""Which tests run: one per case, slow ones on demand, those for a device where it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError
from harness.plugin.options import is_true, run_slow

if TYPE_CHECKING:
    from harness.cases.spec import Case

SLOW_REASON = "slow: give --run-slow or set RUN_SLOW=1"


def parametrize_cases(metafunc: pytest.Metafunc) -> None:
    """Give a test that uses the fixture `case` one run for every case that its marker `case` names."""
    if "case" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("case")
    if marker is None:
        return
    from harness.cases.spec import find_cases
    from harness.settings import find_repository

    try:
        cases = find_cases(find_repository(metafunc.config.rootpath), *marker.args)
    except HarnessError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    devices = {"gpu": pytest.mark.gpu, "tpu": pytest.mark.tpu}
    parameters = [
        pytest.param(case, id=case.name, marks=[devices[case.device]] if case.device in devices else [])
        for case in cases
    ]
    metafunc.parametrize("case", parameters, indirect=True)


def case_of(item: pytest.Item) -> Case | None:
    """The case that the test is run for."""
    from harness.cases.spec import Case

    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    return case if isinstance(case, Case) else None


def skip_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests unless they were asked for, and tests of the Hub while it is switched off."""
    offline = is_true(os.environ.get("HF_HUB_OFFLINE", ""))
    for item in items:
        if item.get_closest_marker("slow") and not run_slow(config):
            item.add_marker(pytest.mark.skip(reason=SLOW_REASON))
        if item.get_closest_marker("hub") and offline:
            item.add_marker(pytest.mark.skip(reason="hub: HF_HUB_OFFLINE is set"))


def skip_without_device(item: pytest.Item) -> None:
    """Skip a test marked gpu or tpu where no framework sees such a device."""
    for kind in ("gpu", "tpu"):
        if item.get_closest_marker(kind):
            from harness.adapters.choose import has_device

            if not has_device(kind):
                pytest.skip(f"needs a {kind.upper()}: no framework sees one")
