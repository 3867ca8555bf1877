"""One site of 200 simulated nights for all tests, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from suites.benchmarks.history_nights import Planted, write
from suites.dashboard.chromium import INSTALL, Page, installed


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("history") / "nights", Planted())


@pytest.fixture(scope="session")
def site(nights: Path) -> Path:
    from harness.files import write_folder
    from harness.report.dashboard import build, story
    from harness.report.dashboard.pages import MARK
    from harness.report.nights import read_nights

    return write_folder(nights.parent / "site", build(story(read_nights(nights))), mark=MARK)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if installed() is None:
        pytest.skip(INSTALL)
    with Page(tmp_path_factory.mktemp("chromium")) as page:
        yield page
