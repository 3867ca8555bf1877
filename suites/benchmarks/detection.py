"""How often a planted slowdown is found, and how often one is told where there is none; beside pytest-benchmark.

    python -m suites.benchmarks.detection --trials 300 --output reports/detection.jsonl

Each trial compares two processes that have only just built their model. Beside every third, one compares with a model
that has 5 % more to do, and one with 10 %. Beside every sixth of each, what was planted is measured by itself, and
pytest-benchmark runs the same two models in processes of their own: one is its saved baseline, the other is held
against it by --benchmark-compare-fail=median:5%. A killed run goes on where it was. The processes are forked from one
that has imported the framework, which would otherwise take most of the time; --start new starts each anew, as `harness
bench compare` does, and leaves pytest-benchmark out.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

from harness.bench import clock, context
from harness.bench.abba import Terms
from harness.bench.lockstep import STEADY, Side, compare_running, compare_sides
from harness.files import append_line, read_lines, write_atomic
from harness.zeroshot.accuracy import wilson
from suites.benchmarks.forked import Forked, in_child

ROOT = Path(__file__).parents[2]
FACTORY = "suites.benchmarks.planted:forward"
NONE = "none"
GATE = "median:5%"
GATE_SECONDS = 0.5
"""Of a run of pytest-benchmark (--benchmark-max-time): some dozens of rounds, where it asks for at least five."""
UNITS, MEASURED = 256, 5
"""Products together by which the cost of one is measured, in so many processes, the median counts: they add about half
of a forward, of which the noise is a small part. Of as few as are planted, it was a third."""
TEST = """
import os
from suites.benchmarks.planted import forward

def test_forward(benchmark):
    benchmark(forward(int(os.environ["PRODUCTS"])))
"""


def main():
    options = _options()
    if options.start == "fork":
        _load()
    done = read_lines(options.output)
    kinds = {NONE: 0.0} | {f"{each:g} %": each / 100 for each in options.planted}
    products = _products(done, kinds, options.output)
    rows = [row for row in done if "kind" in row]
    asked = [(n, kind) for n in range(options.trials) for kind in kinds if kind == NONE or n % 3 == 0]
    known = {(row["trial"], row["kind"], row["start"]) for row in rows}
    left = [each for each in asked if (*each, options.start) not in known]
    with nullcontext() if options.json else _bar(len(asked), len(asked) - len(left)) as step:
        for number, kind in left:
            row = {
                "trial": number,
                "kind": kind,
                "start": options.start,
                **_trial(products[kind], options, beside=number % 6 == 0),
            }
            append_line(options.output, row)
            rows.append(row)
            if step is not None:
                step(kind, row["outcome"])
    found = summary([row for row in rows if (row["trial"], row["kind"]) in asked], products)
    if options.summary:
        write_atomic(options.summary, json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2) if options.json else told(found))
    return 0


def summary(rows, products):
    """Shares, sizes and costs of the trials, a table a way of starting and kind."""
    tables = []
    for start in sorted({row["start"] for row in rows}):
        for kind in products:
            met = [row for row in rows if (row["start"], row["kind"]) == (start, kind)]
            if met:
                tables.append({"start": start, "kind": kind, "products": products[kind], **_table(kind, met)})
    return {
        "schema": 1,
        "command": "python -m suites.benchmarks.detection " + " ".join(sys.argv[1:]),
        "machine": context.capture(threads=1).to_dict(),
        "niceness": os.nice(0),
        "terms": asdict(Terms()),
        "gate": f"pytest-benchmark, saved baseline, {GATE}, max time {GATE_SECONDS} s",
        "tables": tables,
    }


def _table(kind, rows):
    outcomes = [row["outcome"] for row in rows]
    gates = [row["gate"] for row in rows if row["gate"] is not None]
    sizes = [row["true_size"] for row in rows if row["true_size"]]
    changed = sum(outcome in ("slower", "faster") if kind == NONE else outcome == "slower" for outcome in outcomes)
    return {
        "trials": len(rows),
        "told": changed,
        "interval": wilson(changed, len(rows)),
        "outcomes": {name: outcomes.count(name) for name in sorted(set(outcomes))},
        "gate_trials": len(gates),
        "gate_told": sum(gates),
        "gate_interval": wilson(sum(gates), len(gates)) if gates else None,
        "true_size": statistics.median(sizes) if sizes else None,
        "estimate": statistics.median(row["ratio"] for row in rows) - 1,
        "cpu_seconds": {
            "mean": statistics.mean(row["cpu_seconds"] for row in rows),
            "most": max(row["cpu_seconds"] for row in rows),
            "most_with_building": max((row["all_cpu_seconds"] or 0.0) for row in rows) or None,
        },
        "load_average": {
            "median": statistics.median(row["load_average"] for row in rows),
            "most": max(row["load_average"] for row in rows),
        },
        "oversubscription": statistics.median(row["oversubscription"] for row in rows),
    }


def told(found):
    """The summary as lines of at most 80 columns."""
    lines = [f"{'planted':<13}{'true size':>10}{'trials':>8}{'told':>8}{'95 %':>14}{'gate':>9}{'95 %':>14}"]
    for row in found["tables"]:
        name = f"{row['kind']}{'' if row['start'] == 'fork' else ', new'}"
        size = "" if row["true_size"] is None else f"{row['true_size']:.1%}"
        gate, gates = "", ""
        if row["gate_trials"]:
            gate, gates = f"{row['gate_told'] / row['gate_trials']:.1%}", _span(row["gate_interval"])
        share, span = f"{row['told'] / row['trials']:.1%}", _span(row["interval"])
        lines.append(f"{name:<13}{size:>10}{row['trials']:>8}{share:>8}{span:>14}{gate:>9}{gates:>14}")
    for row in found["tables"]:
        cpu, load = row["cpu_seconds"], row["load_average"]
        lines.append(
            f"{row['kind']}, {row['start']}: CPU {cpu['mean']:.2f} s, at most {cpu['most']:.2f} s; load average "
            f"{load['median']:.1f}, at most {load['most']:.1f}"
        )
        lines.append(f"  {', '.join(f'{name} {count}' for name, count in row['outcomes'].items())}")
    machine = found["machine"]
    lines += [
        f"gate: {found['gate']}",
        f"machine: {machine['processor']}, {machine['cores']} cores, {machine['threads']} thread, "
        f"niceness {found['niceness']}",
        f"again: {found['command']}",
    ]
    return "\n".join(lines)


def _trial(products, options, *, beside):
    sides = Side("A", FACTORY, path=(ROOT,)), Side("B", FACTORY, {"products": products}, path=(ROOT,))
    began, children = time.process_time(), _children()
    if options.start == "fork":
        with Forked(sides[0]) as a, Forked(sides[1]) as b:
            found = compare_running(a, b, terms=Terms())
    else:
        found = compare_sides(*sides)
    if found.ratio is None:
        raise SystemExit(f"a side failed: {found.reason}")
    spent = time.process_time() - began + _children() - children
    forked = options.start == "fork"
    return {
        "outcome": found.outcome,
        "reason": found.reason,
        "ratio": found.ratio.value,
        "interval": [found.ratio.low, found.ratio.high],
        "p": found.p,
        "quads": len(found.quads),
        "cpu_seconds": found.cpu_seconds,
        "all_cpu_seconds": spent if forked else None,
        "load_average": found.evidence.load_average,
        "oversubscription": found.evidence.oversubscription,
        "gate": _gate(products) if forked and beside else None,
        "true_size": in_child(lambda: _true_size(products)) if products and forked and beside else None,
    }


def _products(done, kinds, output):
    """How many products make each slowdown, measured once and kept with the trials."""
    found = {NONE: 0}
    for row in done:
        found |= row.get("products", {})
    if missing := kinds.keys() - found.keys():
        unit = statistics.median(in_child(lambda: _true_size(UNITS)) for _ in range(MEASURED)) / UNITS
        counts = {kind: max(1, round(kinds[kind] / unit)) for kind in missing}
        append_line(output, {"products": counts})
        found |= counts
    return {kind: found[kind] for kind in kinds}


def _true_size(products, quads=32):
    """What the products add to a forward: one model in one process, with and without, in turn; the median of quads."""
    from suites.benchmarks.planted import forward

    call, ratios = forward(), []
    with clock.collection_off():
        for number in range(quads + 3):
            times = [clock.read(lambda n=n: call(n))[0].cpu_seconds for n in (0, products, products, 0)]
            if number >= 3:
                ratios.append((times[1] + times[2]) / (times[0] + times[3]))
    return statistics.median(ratios) - 1


def _gate(products):
    """Whether pytest-benchmark's gate, with a baseline of the unchanged model saved just before, tells a regression."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "test_forward.py").write_text(TEST, encoding="utf-8")
        common = ["-q", "-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider", "-c", os.devnull]
        common += [f"--rootdir={folder}", f"--benchmark-max-time={GATE_SECONDS}", f"--benchmark-storage={folder}/kept"]
        common += [str(folder / "test_forward.py")]
        saved = in_child(lambda: _pytest([*common, "--benchmark-save=base"], 0))
        against = ["--benchmark-compare", f"--benchmark-compare-fail={GATE}"]
        held = in_child(lambda: _pytest([*common, *against], products))
    finally:
        shutil.rmtree(folder)
    if saved != "passed" or held not in ("passed", "regressed"):
        raise SystemExit(f"pytest-benchmark: {saved}, then {held}")
    return held == "regressed"


def _pytest(arguments, products):
    import pytest
    from pytest_benchmark.session import PerformanceRegression

    os.environ |= {"PRODUCTS": str(products), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    try:
        status = pytest.main(arguments)
    except PerformanceRegression:
        return "regressed"
    return "passed" if status == 0 else f"status {int(status)}"


def _load():
    """Import what every forked process would, the framework and pytest, and let no garbage collection go through it."""
    import pytest_benchmark.plugin
    import torch
    import transformers

    assert pytest_benchmark.plugin
    assert transformers.BertModel
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def _children():
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _span(interval):
    return f"{interval[0]:.1%}-{interval[1]:.1%}"


@contextmanager
def _bar(total, done):
    from rich import progress
    from rich.console import Console

    columns = (progress.BarColumn(20), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    with progress.Progress(progress.TextColumn("{task.description}"), *columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("trials", total=total, completed=done)
        yield lambda kind, outcome: shown.update(task, advance=1, description=f"{kind}: {outcome}")


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trials", type=int, default=300, metavar="N", help="without a change; a third of that with each"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("reports/detection.jsonl"), metavar="FILE", help="every trial"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="also write what is told, as JSON")
    parser.add_argument(
        "--planted", type=float, nargs="*", default=[5.0, 10.0], metavar="PERCENT", help="how much more"
    )
    parser.add_argument("--start", choices=["fork", "new"], default="fork", help="how the processes of a trial start")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    if options.trials < 1 or min(options.planted, default=1) <= 0:
        parser.error("wanted at least one trial, and what is planted above 0")
    os.environ |= STEADY | {"OMP_NUM_THREADS": "1"}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    sys.exit(main())
