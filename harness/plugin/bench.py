"""The fixture `bench`: what a path of a case costs, and whether it computes what it should; or what a call costs.

It stands on the fixture `benchmark` of pytest-benchmark: its options, groups, storage and JSON, with the figures that a
model needs beside in `extra_info`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, SpecError
from harness.plugin.conclude import conclude, rerun_command
from harness.plugin.recorder import announce, keep
from harness.settings import Repository, find_repository

if TYPE_CHECKING:
    from harness.bench.apart import Apart
    from harness.bench.clock import Clock
    from harness.bench.context import Context
    from harness.bench.measure import Samples
    from harness.bench.path import BenchPath
    from harness.bench.result import PathResult
    from harness.cases.spec import Case


@pytest.fixture(scope="session")
def bench_processes(request: pytest.FixtureRequest) -> Iterator[Apart]:
    """The processes in which paths are measured, one at a time; the last is ended with the session."""
    from harness.bench.apart import Apart

    option = request.config.getoption
    with Apart(
        find_repository(request.config.rootpath).root,
        alone=option("bench_alone"),
        threads=option("bench_threads"),
        timeout_seconds=option("bench_timeout"),
        memory_bytes=int(option("bench_memory") * 2**30) or None,
    ) as found:
        yield found


@pytest.fixture
def bench(request: pytest.FixtureRequest, benchmark: Any, bench_processes: Apart) -> Bench:
    """Measure a path of a case, `bench("minilm-flax", "jax-jit-forward-float32-cpu")`, in a process of its own; or a
    call, `bench(function, *arguments)`, here. Once in a test, as `benchmark` itself.
    """
    config = request.config
    if hasattr(config, "workerinput"):
        command = f"pytest -n 0 '{request.node.nodeid.split('::')[0]}'"
        pytest.fail(f"nothing can be timed while other tests run beside it: run `{command}`", pytrace=False)
    return Bench(request.node, find_repository(config.rootpath), benchmark, bench_processes)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the fixture gives."""

    item: pytest.Item
    repository: Repository
    benchmark: Any
    processes: Apart

    def __call__(self, subject: Case | str | Callable[..., Any] = "", *arguments: Any, **keywords: Any) -> Any:
        """Of a case and a path the PathResult: the test ends as its verdict has it, or is skipped for what is not here.
        Of a function and its arguments the Samples.
        """
        if self.benchmark._mode:
            pytest.fail(f"measured twice in one test, first by {self.benchmark._mode}: use two tests", pytrace=False)
        self.benchmark._mode = "bench(...)"
        try:
            if callable(subject):
                return self._function(subject, arguments, keywords)
            return self._path(*_case_and_path(subject, arguments, keywords))
        except HarnessError as error:
            pytest.fail(str(error), pytrace=False)

    def _path(self, case: str, path: BenchPath) -> PathResult:
        from harness.bench.apart import Lacks
        from harness.register import read_register, rows_for

        announce(self.item, case)(str(path))
        self.benchmark.group = self.benchmark.group or f"{case} {path.work}"
        start = time.perf_counter()
        found = self.processes.measure(case, path, **self._rounds())
        if isinstance(found, Lacks):
            pytest.skip(found.reason)
        if found.measured is not None:
            self._store(found.measured.samples, found.measured.clock, found.measured.context, found.to_dict()["bench"])
        rows, repeat = rows_for(found.subject, read_register(self.repository.register)), rerun_command(self.item)
        taken = time.perf_counter() - start
        keep(self.item, case, found.title, found=found, check=str(path), rows=rows, repeat=repeat, seconds=taken)
        conclude([(found, rows)], repeat)
        return found

    def _function(self, function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> Samples:
        from harness.adapters.timed import pinned, precision_mode
        from harness.bench import affinity
        from harness.bench.context import capture
        from harness.bench.measure import InProcess, measure

        threads = self.processes.threads
        # Not every library asks how many threads it may have: so many processors are all that there is.
        with pinned(threads), affinity.pinned([0], affinity.choose(threads)):
            found = measure(InProcess(function, arguments, keywords), place=self.item.name, **self._rounds())
        here = capture(threads=threads, precision=precision_mode())
        self._store(found, "cpu", here, {"samples": found.to_dict()})
        return found

    def _rounds(self) -> dict[str, Any]:
        """What pytest-benchmark's own options and marker say of rounds; one if it is disabled."""
        if self.benchmark.disabled:
            return {"seconds": 0.0, "least": 1, "most": 1}
        return {"seconds": self.benchmark._max_time, "least": self.benchmark._min_rounds}

    def _store(self, samples: Samples, clock: Clock, here: Context, told: dict[str, Any]) -> None:
        """Hand the rounds to pytest-benchmark, by the clock that decides; with a baseline that may not be compared with
        them, none of it is.
        """
        if self.benchmark.disabled:
            return
        for file, saved in self.item.config._benchmarksession.compared_mapping.items():  # type: ignore[attr-defined]
            baseline = saved.get(self.item.nodeid)
            if baseline is not None and (why := _refused(baseline, here, clock)):
                del saved[self.item.nodeid]
                pytest.fail(f"the baseline {file} is not compared: {why}. Save a new one here.", pytrace=False)
        self.benchmark.extra_info["harness"] = {"context": asdict(here), "clock": clock, **told}
        stats = self.benchmark._make_stats(1)
        for each in samples.seconds(clock):
            stats.update(each)


def _case_and_path(subject: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[str, BenchPath]:
    """The case's name and the path.

    Raises:
        SpecError: it is something else.
    """
    from harness.bench.path import parse
    from harness.cases.spec import Case

    if not isinstance(subject, (str, Case)) or len(arguments) != 1 or keywords:
        given = [repr(each) for each in ((subject, *arguments) if subject != "" else arguments)]
        given += [f"{name}={value!r}" for name, value in keywords.items()]
        todo = 'Call it as bench("a-case", "a-path") or bench(function, *arguments).'
        raise SpecError("bench", f"got {', '.join(given) or 'nothing'}", todo=todo)
    return subject if isinstance(subject, str) else subject.name, parse(str(arguments[0]))


def _refused(baseline: Mapping[str, Any], here: Context, clock: Clock) -> str | None:
    """Why figures taken here are not compared with what pytest-benchmark saved, or None."""
    from harness.bench.context import Context, refused

    told, stats = baseline.get("extra_info", {}).get("harness", {}), baseline.get("stats", {})
    try:
        there = Context(**told["context"])
    except (KeyError, TypeError):
        return "it does not say where it was taken"
    if why := refused(here, there):
        return why
    if told.get("clock") != clock:
        return f"taken by different clocks: {clock!r} and {told.get('clock')!r}"
    if not stats.get("rounds"):
        return "it has no rounds"
    median = stats.get("median")
    return None if isinstance(median, float) and 0 < median < math.inf else f"its median is {median!r} seconds"
