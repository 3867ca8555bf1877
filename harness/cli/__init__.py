"""The `harness` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.cli import across, audit, bench, history, inspect, merge, porting, repro, run, versions, zero_shot
from harness.errors import HarnessError

EPILOG = """exit status:
  0  everything agrees, or the register knows why not
  1  something diverges, agrees only within a tolerance, or is slower
  2  misuse: a wrong argument, or a file that says something wrong
  3  inconclusive: something could not be built, run or compared
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is its verdict."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
        return status
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("harness: interrupted", file=sys.stderr)
        return 130


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """Command -> the parser of its arguments, for the reference."""
    return _below(_parser())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        description="Check that a ported model computes what its original computes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    profile = _command(commands, "run", run.run_profile, "run a profile's suites with pytest and write the report")
    profile.add_argument("--profile", default="quick", metavar="NAME", help="which suites (default: quick)")
    profile.add_argument(
        "--report-dir", type=Path, default=Path("reports/latest"), metavar="DIR", help="default: reports/latest"
    )
    profile.add_argument(
        "--isolate", action=argparse.BooleanOptionalAction, default=None, help="run every case in its own process"
    )
    profile.add_argument(
        "--changed", default="", metavar="BASE", help="only the cases that differ from this revision of git"
    )
    profile.add_argument("--shard", default="", metavar="K/N", help="part K of N of the tests; `merge` joins the parts")
    profile.add_argument("--fresh", action="store_true", help="begin again, even if an earlier run was killed")
    profile.add_argument("-v", "--verbose", action="store_true", help="show pytest's own output")
    profile.add_argument("pytest_arguments", nargs="*", metavar="-- ARGUMENT", help="further arguments for pytest")

    listing = _command(
        commands, "list", inspect.list_everything, "list cases, profiles, artifacts, tasks and the register"
    )
    listing.add_argument(
        "kind", nargs="?", choices=["cases", "profiles", "artifacts", "tasks", "register"], help="only these"
    )

    check = _command(commands, "check", inspect.check_cases, "check cases here and now, without pytest")
    check.add_argument("case", nargs="+", metavar="CASE", help="a case's name; * and ? as in file names")
    check.add_argument(
        "--steps", action="store_true", help="step by step, up to the first that fails; goes on if killed"
    )
    check.add_argument("--fresh", action="store_true", help="with --steps: also the steps that passed before")

    auditing = _command(
        commands, "audit", audit.audit_cases, "show where every weight of a case came from, and which are off"
    )
    auditing.add_argument("case", nargs="+", metavar="CASE", help="a case's name; * and ? as in file names")
    auditing.add_argument("--all", action="store_true", help="a line for every weight, also for those that are right")

    beginning = _command(commands, "new-port", porting.new_port, "begin the case of a port: its file, names and a test")
    beginning.add_argument("name", metavar="NAME", help="what the case is to be called")
    beginning.add_argument("--reference", metavar="MODULE:FACTORY", help="what makes the original")
    beginning.add_argument("--port", metavar="MODULE:FACTORY", help="what makes the port; it may take `reference`")
    beginning.add_argument("--inputs", metavar="MODULE:FACTORY", help="what both are called with (default: guessed)")
    beginning.add_argument("--from-hub", metavar="REPO", help="a small original, by the configuration of a hub's model")
    beginning.add_argument("--force", action="store_true", help="write over files that are there")

    watching = _command(
        commands, "watch", porting.watch_case, "look again at the step that fails when a source file changes"
    )
    watching.add_argument("case", metavar="CASE", help="a case's name")
    watching.add_argument("--once", action="store_true", help="look once, and do not wait for changes")

    starting = _command(commands, "init", porting.init, "begin in a repository: settings, an example, a test, a CI job")
    starting.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: here")

    planting = _command(commands, "sensitivity", inspect.plant_faults, "plant faults: which would a case catch?")
    planting.add_argument("case", nargs="+", metavar="CASE", help="a case's name; * and ? as in file names")

    trace = _command(commands, "trace", across.trace_side, "run one side of a case and write what it computes")
    trace.add_argument("case", metavar="CASE", help="a case's name")
    trace.add_argument("--side", choices=["reference", "port"], required=True, help="the other is not built")
    trace.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="NAME.safetensors")
    trace.add_argument("--inputs", type=Path, metavar="FILE", help="run it on the inputs of this trace")
    trace.add_argument(
        "--no-float64", dest="float64", action="store_false", help="the model's own type alone: less time and memory"
    )

    comparing = _command(commands, "compare", across.compare_files, "compare traces from other environments")
    comparing.add_argument("reference", metavar="A", help="a trace, or the case whose reference is run here")
    comparing.add_argument("port", metavar="B", help="a trace, or the case whose port is run here")
    comparing.add_argument("--mapping", type=Path, metavar="FILE.toml", help="names, instead of what the case says")

    bisect = _command(
        commands, "bisect-version", versions.bisect_version, "find the version of a package that changed a side"
    )
    bisect.add_argument("case", metavar="CASE", help="a case's name")
    bisect.add_argument(
        "--package", nargs=3, required=True, metavar=("NAME", "FIRST", "LAST"), help="such as transformers 4.57.6 5.0.0"
    )
    bisect.add_argument("--side", choices=["reference", "port"], default="reference", help="default: reference")
    bisect.add_argument("--traces", type=Path, metavar="DIR", help="where to keep the traces (default: the cache)")
    bisect.add_argument("--find-links", action="append", default=[], metavar="DIR", help="as for pip")
    bisect.add_argument("--no-index", action="store_true", help="as for pip")

    script = _command(commands, "repro", repro.write_repro, "write the smallest script that shows a case's fault")
    script.add_argument("case", metavar="CASE", help="the name of a case that does not agree")
    script.add_argument("--module", metavar="PATH", help="which module at fault (default: the first)")
    script.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write")

    known = _command(commands, "divergences", repro.list_divergences, "list what is known to diverge, or tell upstream")
    known.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="also what the run in this folder found")
    known.add_argument("--markdown", metavar="ID", help="the text of an issue for the project whose port diverges")
    known.add_argument("--repro", type=Path, metavar="DIR", help="with a repro that was written before")

    asking = _command(
        commands, "zero-shot", zero_shot.zero_shot, "score a model on a task, or read scores again, and compare"
    )
    asking.add_argument("task", nargs="*", metavar="TASK", help="a task's name (* and ? as in file names) or TOML file")
    asking.add_argument(
        "--model", action="append", default=[], metavar="MODEL", help="CASE, CASE:port or a folder; several: a family"
    )
    asking.add_argument(
        "--from", dest="scores", type=Path, action="append", default=[], metavar="FILE", help="scores.jsonl of a run"
    )
    asking.add_argument(
        "--normalisation", choices=["sum", "token", "character", "byte"], help="default: what the task says"
    )
    asking.add_argument("--limit", type=int, default=0, metavar="N", help="the first N examples (default: all)")
    asking.add_argument(
        "--against", action="append", default=[], metavar="MODEL", help="another model or scores.jsonl, paired"
    )
    asking.add_argument("--lm-eval", type=Path, metavar="FILE", help="samples_*.jsonl of lm-eval --log_samples")
    asking.add_argument("--publish", metavar="REPO", help="show how the model card of OWNER/NAME would change")
    asking.add_argument("--pull-request", action="store_true", help="with --publish: propose it on the Hub")
    asking.add_argument(
        "-o", "--output", type=Path, default=Path("reports/zero-shot"), metavar="DIR", help="default: reports/zero-shot"
    )

    timing = commands.add_parser("bench", help="time a change, and say whether it made something slower")
    judging = _command(
        timing.add_subparsers(title="commands", metavar="COMMAND", required=True),
        "compare",
        bench.compare_with_base,
        "time a call as it is now and as it is in BASE, in turn, and judge the change",
    )
    judging.add_argument(
        "base", metavar="BASE", help="git revision, environment, wheel, MODULE:FACTORY or a path's name"
    )
    judging.add_argument(
        "--call", action="append", default=[], metavar="MODULE:FACTORY", help="makes what is timed; may be repeated"
    )
    judging.add_argument("--case", metavar="NAME", help="of this case, instead of --call")
    judging.add_argument("--path", action="append", default=[], metavar="NAME", help="this path; may be repeated")
    judging.add_argument(
        "--delta", type=float, default=0.025, metavar="RATIO", help="half of the change that matters (default: 0.025)"
    )
    judging.add_argument(
        "--limit", type=float, metavar="SECONDS", help="CPU time of a comparison (default: 2, of a path 20)"
    )
    judging.add_argument("--threads", type=int, default=0, metavar="N", help="default: OMP_NUM_THREADS, or 1")
    judging.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="of building, and of a round (default: 600)"
    )
    judging.add_argument("--memory", type=float, default=0.0, metavar="GIB", help="of a side (default: no limit)")
    judging.add_argument("--markdown", type=Path, metavar="FILE", help="also write it as Markdown, for a comment")

    report = _command(commands, "report", inspect.rebuild_report, "write the report of a run, even of a killed one")
    report.add_argument("folder", type=Path, metavar="DIR", help="the run's folder")

    merging = _command(commands, "merge", merge.merge_runs, "merge the runs of shards into one, with one report")
    merging.add_argument("folder", nargs="+", type=Path, metavar="DIR", help="the folders of the shards")
    merging.add_argument(
        "--again", nargs="+", default=[], type=Path, metavar="DIR", help="runs of some of their tests once more"
    )
    merging.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write")

    exporting = _command(commands, "export", history.export_run, "write a run in the form of another tool")
    exporting.add_argument("folder", type=Path, metavar="DIR", help="the run's folder")
    exporting.add_argument(
        "form",
        choices=["annotations", "asv", "badge", "github-action-benchmark", "openmetrics", "parquet", "sarif"],
        help="JUnit and the summary stand in the run's folder",
    )
    exporting.add_argument("-o", "--output", type=Path, metavar="FILE", help="a folder for asv (default: print it)")

    site = _command(commands, "dashboard", history.dashboard, "make a site of a folder of runs: what changed, and when")
    site.add_argument("folder", type=Path, metavar="DIR", help="a folder of runs, or of their run.json files")
    site.add_argument("--out", type=Path, required=True, metavar="SITE", help="the folder to write")

    keeping = _command(commands, "history", history.history, "put a run into a history, or fetch one")
    keeping.add_argument("what", choices=["push", "pull"], help="push DIR PLACE, or pull PLACE DIR")
    keeping.add_argument("source", metavar="FROM", help="a run's folder; or a folder of runs, or hub:OWNER/NAME")
    keeping.add_argument("target", metavar="TO", help="a folder of runs, or hub:OWNER/NAME, a data set of the Hub")
    return parser


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Of the commands below a parser, those with none below themselves: `bench compare`, and not `bench`."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= {f"{name} {inner}": deep for inner, deep in _below(each).items()} or {name: each}
    return found


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    sentence = f"{text[0].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=sentence)
    command.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    command.set_defaults(command=function)
    return command
