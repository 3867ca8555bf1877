"""The pytest plugin: options, markers, the fixtures by which tests compare, and the record of a run.

It is loaded in every repository that installs the package, so it imports little until a test asks for more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness import environment, files
from harness.plugin import changed, isolate, options, recorder, resume, select, shard, summary
from harness.plugin.bench import bench, bench_processes
from harness.plugin.fixtures import case, parity
from harness.plugin.outcomes import answers, schedule, tokens, twins
from harness.plugin.zero_shot import zero_shot

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["answers", "bench", "bench_processes", "case", "parity", "schedule", "tokens", "twins", "zero_shot"]


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    environment.prepare(files.cache_folder() / "jax")
    options.add_markers(config)
    if config.getoption("isolated_child"):
        config.pluginmanager.register(isolate.Child(config), "harness-child")
        return
    if config.getoption("isolate_cases"):
        config.pluginmanager.register(isolate.Parent(config), "harness-parent")
    changed.look(config)
    if shard.shard_of(config) is not None:
        config.pluginmanager.register(shard.Workers(config), "harness-workers")
    if not hasattr(config, "workerinput"):
        if config.getoption("report_dir"):
            config.pluginmanager.register(recorder.Recorder(config), "harness-recorder")
        config.pluginmanager.register(summary.Summary(config), "harness-summary")


def pytest_report_header(config: pytest.Config) -> list[str]:
    chosen, touched = shard.shard_of(config), config.stash.get(changed.CHANGED, None)
    told = [f"shard: {chosen}"] if chosen else []
    if touched is not None:
        told.append(f"changed: {len(touched.cases)} of {touched.among} cases against {touched.base}")
    return told


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    select.parametrize_cases(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    select.skip_slow(config, items)
    changed.keep_touched(session, items)
    shard.keep_own(config, items)
    resume.keep_finished(config, items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    select.skip_without_device(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    recorder.attach(item, report)
    return report
