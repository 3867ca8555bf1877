"""The section of the benchmarks: what every path of a case costs, and whether it computes what it should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import words
from harness.report.defects import document_of
from harness.report.page import environment, placed
from harness.report.run import Result

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Line:
    """A path's row of the table, every figure in words; "" where there is none. work, items_per_second: for the chart.

    low, high: the ends of the interval, as shares of the median.
    """

    path: str
    work: str
    anchor: str
    standing: words.Standing
    reason: str
    error: str
    speed: str
    interval: str
    rate: str
    compiling: str
    first: str
    memory: str
    growth: str
    of_matmul: str
    of_copy: str
    items_per_second: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A path in a chart, in percent of its width: how fast it is, and between which speeds that lies.

    path: its name without the work, which the chart is called after.
    """

    path: str
    standing: words.Standing
    rate: str
    width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Group:
    """A case: its lines, and a chart for every kind of work. machine: where it was measured."""

    case: str
    machine: str
    lines: tuple[Line, ...]
    charts: tuple[tuple[str, tuple[Bar, ...]], ...]


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; nothing, if none is of a path."""
    from markupsafe import Markup

    ran = {id(result): number for number, result in enumerate(results)}
    found = sorted(placed(results), key=lambda each: ran[id(each[0])])
    told = [(result, place, _shown(document_of(folder, result))) for result, place in found]
    paths = [each for each in told if each[2]]
    if not paths:
        return Markup("")
    return Markup(environment().get_template("bench.html").render(groups=groups(paths)))


def groups(found: Iterable[tuple[Result, str, Mapping[str, Any]]]) -> tuple[Group, ...]:
    """The cases in the order in which they were measured."""
    cases: dict[str, list[tuple[Result, str, Mapping[str, Any]]]] = {}
    for each in found:
        cases.setdefault(each[0].case, []).append(each)
    made = []
    for case, parts in cases.items():
        lines = tuple(_line(*part) for part in parts)
        machines = dict.fromkeys(machine for _, _, shown in parts if (machine := _machine(shown)))
        made.append(Group(case, "; ".join(machines), lines, tuple(charts(lines))))
    return tuple(made)


def charts(lines: Sequence[Line]) -> Iterable[tuple[str, tuple[Bar, ...]]]:
    """For every kind of work the paths, the fastest first: each is as wide as it is fast, beside the fastest."""
    for work in dict.fromkeys(line.work for line in lines):
        fast = sorted(
            (line for line in lines if line.work == work and line.items_per_second),
            key=lambda line: -line.items_per_second,
        )
        if not fast:
            continue
        # The widest interval has room, too: its path may be faster than its median says.
        whole = max(line.items_per_second / (line.low or 1.0) for line in fast) / 100
        yield (
            work,
            tuple(
                Bar(
                    path=line.path.replace(f"-{work}-", " "),
                    standing=line.standing,
                    rate=line.rate,
                    width=round(line.items_per_second / whole, 2),
                    low=round(line.items_per_second / (line.high or 1.0) / whole, 2),
                    high=round(line.items_per_second / (line.low or 1.0) / whole, 2),
                )
                for line in fast
            ),
        )


def _line(result: Result, place: str, shown: Mapping[str, Any]) -> Line:
    figures = shown.get("figures") or {}
    number = _numbers({**result.metrics, **figures})
    median, low, high = (number.get(f"{name}_seconds", 0.0) for name in ("median", "low", "high"))
    elsewhere = bool(figures.get("accelerator"))
    memory = number.get("device_peak_bytes" if elsewhere else "host_peak_bytes", 0.0)
    growth = 0.0 if elsewhere else memory - number.get("host_before_bytes", 0.0)
    rate = number.get("items_per_second", 0.0)
    return Line(
        path=str(shown.get("path", "")),
        work=_work(str(shown.get("path", ""))),
        anchor=place,
        standing=words.standing(result),
        reason=result.reason,
        error=f"{words.number(number.get('error'))} on {words.number(number.get('scale'))}" if median else "",
        speed=span(median),
        interval=f"{span(low)} to {span(high)}" if median else "",
        rate=f"{rate:,.0f} {figures.get('unit', '')}/s" if rate else "",
        compiling=span(number.get("compile_seconds", 0.0)),
        first=span(number.get("first_seconds", 0.0)),
        memory=size(memory),
        growth=size(growth) if growth > 0 else "",
        of_matmul=_share(number.get("flops_ratio")),
        of_copy=_share(number.get("bytes_ratio")),
        items_per_second=rate,
        low=low / median if median else 0.0,
        high=high / median if median else 0.0,
    )


def span(seconds: float) -> str:
    """Seconds in words, with three digits; "" for none.

    >>> span(0.0123), span(1.5), span(0.0)
    ('12.3 ms', '1.5 s', '')
    """
    if not seconds:
        return ""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def size(count: float) -> str:
    """Bytes in words; "" for none.

    >>> size(3 * 2**20), size(1.5 * 2**30)
    ('3 MiB', '1.5 GiB')
    """
    if not count:
        return ""
    return f"{count / 2**30:.2g} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.0%}"


def _work(path: str) -> str:
    """The kind of work in a path's name, which is the third part from its end."""
    parts = path.rsplit("-", 3)
    return parts[1] if len(parts) == 4 else ""


def _machine(shown: Mapping[str, Any]) -> str:
    measured = shown.get("measured")
    context = measured.get("context", {}) if isinstance(measured, Mapping) else {}
    if not context:
        return ""
    return f"{context['accelerator'] or context['processor']}, {words.plural(int(context['threads']), 'thread')}"


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers: a file may hold anything."""
    return {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    }


def _shown(document: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = document.get("bench")
    return shown if isinstance(shown, Mapping) else {}
