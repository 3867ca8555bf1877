"""The benchmarks' section of the page: what a row says, how long a bar is, and what is wrong is marked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.clock import Reading
from harness.bench.context import Context, Evidence
from harness.bench.measure import Samples
from harness.bench.path import parse
from harness.bench.result import Measured, PathResult, result_of
from harness.bench.yardstick import Peaks
from harness.files import write_atomic
from harness.parity.compare import Verdict
from harness.register import Row
from harness.report.bench import section
from harness.report.run import read_run
from suites.selftest.report_runs import HOSTILE, result, write_run
from suites.selftest.test_report_page import parse as parsed

EAGER, JIT = "pytorch-eager-forward-float32-cpu", "jax-jit-forward-float32-cpu"


def measured(seconds: float) -> Measured:
    """A call of so many seconds of CPU time, in a hundred rounds that differ by a percent; of twice the wall time."""
    times = [seconds * (1 + 0.01 * (number % 3 - 1)) for number in range(100)]
    samples = Samples(
        readings=tuple(Reading(2 * each, each) for each in times),
        compile_seconds=1.5,
        first_seconds=2.5,
        warm_up=3,
        recompiled=0,
        host_peak_bytes=3 << 29,
        host_before_bytes=1 << 30,
        evidence=Evidence(1.5, 0.0, 2.0),
    )
    context = Context("A processor", 2, "", 1, "float32", {"torch": "2"})
    return Measured(samples, "cpu", context, Peaks(1e11, 1e10), 80, "tokens", 1e9, 10**8, None)


def found(path: str = EAGER, **changes: Any) -> PathResult:
    return replace(
        PathResult("minilm", parse(path), Verdict.AGREE, "", 2e-7, 6.0, 2e-5, measured(0.02)),
        **changes,
    )


def line(folder: Path, outcome: PathResult) -> dict[str, Any]:
    name = f"cases/{len(list(folder.glob('cases/*')))}.json"
    write_atomic(folder / name, json.dumps(outcome.to_dict()))
    values = {"suite": "benchmarks", "check": outcome.check, "reason": outcome.reason, "metrics": outcome.metrics()}
    return result(outcome.case, outcome.verdict.value, files=[name], **values)


def made(folder: Path, *outcomes: PathResult) -> str:
    run = write_run(folder, *(line(folder, each) for each in outcomes))
    return str(section(list(read_run(run).results), run))


def test_a_result_travels_as_json() -> None:
    for outcome in (found(), found(measured=None, verdict=Verdict.INCONCLUSIVE, reason="hangs")):
        assert result_of(json.loads(json.dumps(outcome.to_dict()))) == outcome


def test_the_figures_follow_from_the_rounds() -> None:
    figures = found().figures()
    assert figures["median_seconds"] == 0.02
    assert figures["wall_seconds"] == 0.04
    assert figures["items_per_second"] == 4000
    assert figures["flops_ratio"] == 0.5
    assert figures["bytes_ratio"] == 0.5
    assert figures["low_seconds"] <= 0.02 <= figures["high_seconds"]


def test_the_record_holds_numbers_and_what_times_may_not_be_compared_without() -> None:
    told = found().metrics()
    words = {name: told.pop(name) for name in ("precision", "accelerator")}
    assert words == {"precision": "float32", "accelerator": ""}
    assert all(value is None or isinstance(value, (int, float)) for value in told.values())


def test_the_record_says_what_the_yardstick_took() -> None:
    turns = ((Reading(0.3, 0.03), Reading(0.1, 0.01)),) * 5
    samples = replace(measured(0.02).samples, turns=turns)
    told = found(measured=replace(measured(0.02), samples=samples)).metrics()
    assert told["yardstick_seconds"] == 0.02 / 3
    assert found().metrics()["yardstick_seconds"] is None


def test_the_text_fits_a_terminal_and_says_why() -> None:
    text = str(found(verdict=Verdict.DIVERGE, reason="12 of 30 elements are outside the tolerance"))
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[:3] == [
        f"minilm: {EAGER}: diverge",
        "  why         12 of 30 elements are outside the tolerance",
        "  speed       20 ms (20 to 20) by the cpu clock",
    ]


def test_the_register_explains_a_path() -> None:
    names = {"id": "a", "area": "benchmarks", "cause": "c", "where": "w", "proof": "p", "kind": "limit"}
    row = Row(**names, subjects=(f"minilm.{EAGER}",), error=0.2, scale=6.0, applies_to={"numpy": ">=1"})  # type: ignore[arg-type]
    off = found(verdict=Verdict.DIVERGE, error=0.2)
    assert off.subject == f"minilm.{EAGER}"
    assert off.registered([row]) == ("a",)
    assert found(verdict=Verdict.INCONCLUSIVE).registered([row]) == ()


def test_a_row_says_speed_compiling_memory_peak_and_verdict(tmp_path: Path) -> None:
    html = made(tmp_path, found())
    cells = [parsed(cell).text for cell in re.findall(r"<td.*?</td>", html, re.DOTALL)]
    assert cells == [
        "agree 2e-7 on 6",
        "20 ms 20 ms to 20 ms 4,000 tokens/s",
        "1.5 s",
        "2.5 s",
        "1.5 GiB 512 MiB of it new",
        "50% 50% of a copy",
    ]
    assert "A processor, 1 thread" in parsed(html).text


@pytest.mark.parametrize(("held", "told"), [(3 << 30, "3 GiB"), (None, "\u2013")])
def test_the_memory_of_an_accelerator_is_its_own_or_none(held: int | None, told: str, tmp_path: Path) -> None:
    """That of the host is none of it, nor is it part of it."""
    figures = measured(0.02)
    there = replace(figures, device_peak_bytes=held, context=replace(figures.context, accelerator="A GPU"))
    html = made(tmp_path, found(measured=there))
    cells = [parsed(cell).text for cell in re.findall(r"<td.*?</td>", html, re.DOTALL)]
    assert cells[4].strip() == told
    assert "memory      -" in str(found(measured=there)) or held


def test_a_bar_is_as_long_as_its_path_is_fast_the_fastest_first(tmp_path: Path) -> None:
    html = made(tmp_path, found(), found(JIT, measured=measured(0.01)))
    widths = [float(width) for width in re.findall(r'<rect y="2" width="([\d.]+)"', html)]
    assert 98 < widths[0] <= 100
    assert abs(widths[1] / widths[0] - 0.5) < 0.001
    names = re.findall(r'<span class="name">(.*?)</span>\n', html, re.DOTALL)
    assert [parsed(name).text.split(maxsplit=1)[1] for name in names] == [
        "jax-jit float32-cpu",
        "pytorch-eager float32-cpu",
    ]


def test_a_path_that_computes_something_else_is_marked(tmp_path: Path) -> None:
    html = made(tmp_path, found(), found(JIT, verdict=Verdict.DIVERGE, reason="off by 3"))
    assert '<li class="diverge">' in html
    assert "off by 3" in parsed(html).text


def test_a_path_without_figures_has_its_reason_and_no_bar(tmp_path: Path) -> None:
    html = made(
        tmp_path, found(), found(JIT, verdict=Verdict.INCONCLUSIVE, reason="crashed with SIGSEGV", measured=None)
    )
    assert "crashed with SIGSEGV" in parsed(html).text
    assert html.count("<rect") == 1


def test_what_a_file_says_is_escaped(tmp_path: Path) -> None:
    assert "<script>" not in made(tmp_path, found(case_name=HOSTILE, reason=HOSTILE))


def test_without_a_path_there_is_no_section(tmp_path: Path) -> None:
    assert str(section(list(read_run(write_run(tmp_path, result("a"))).results), tmp_path)) == ""
