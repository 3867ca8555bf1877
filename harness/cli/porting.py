"""`harness check --steps`, `new-port`, `watch` and `init`: for the person who ports a model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.settings import find_repository

if TYPE_CHECKING:
    from harness.porting.begun import Begun
    from harness.porting.steps import Step, Walk
    from harness.porting.watch import Look

COLOURS = {"ok": "green", "registered": "green", "failed": "red", "inconclusive": "yellow"}


def walk_cases(options: argparse.Namespace) -> int:
    """`harness check --steps`: a line a step on standard error, then a table and what is usual where it failed."""
    from rich.console import Console

    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.porting.steps import walk

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    console = Console(stderr=True, highlight=False, markup=False)
    found = []
    for case in find_cases(repository, *options.case):
        with console.status(case.name) as status:
            found.append(
                walk(
                    case,
                    repository,
                    fresh=options.fresh,
                    meet=lambda step: console.print(step_line(step)),
                    progress=status.update,
                )
            )
        if not options.json:
            show_walk(found[-1])
    if options.json:
        every = [each.to_dict() for each in found]
        print(json.dumps(every[0] if len(every) == 1 else every, indent=2))
    statuses = [each.exit_status for each in found]
    return 1 if 1 in statuses else max(statuses)


def step_line(step: Step) -> str:
    """The step, how it stands, how long it took."""
    took = "as before" if step.before else f"{step.seconds:.1f} s"
    return f"{step.step:<18} {step.status:<14} {took}"


def show_walk(found: Walk) -> None:
    """The table of a walk, and what to do about the first step that does not pass."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(title=found.case, title_justify="left", box=None, pad_edge=False)
    for heading in ("step", "status", "what was found"):
        table.add_column(heading, overflow="fold")
    for step in found.steps:
        table.add_row(step.step, Text(step.status, style=COLOURS.get(step.status, "")), Text(step.detail))
    console.print(table)
    console.print()
    first = found.first
    if first is None:
        console.print(f"{found.case}: every step that applies passes", markup=False)
        return
    lines = [f"first that does not pass: {first.step}"]
    if first.proved:
        lines.append(f"proved: {first.proved}")
    elif first.usual:
        lines += ["usually wrong there:", *(f"  - {each}" for each in first.usual)]
    lines += [f"all of it:  harness {'audit' if first.step == 'weights' else 'check'} {found.case}"]
    lines += [f"while you mend it:  harness watch {found.case}"]
    console.print("\n".join(lines), markup=False)


def watch_case(options: argparse.Namespace) -> int:
    """`harness watch`: a look now and after every change; the exit status is that of the last look."""
    from harness.cases.spec import find_cases
    from harness.porting.watch import watch

    repository = find_repository(Path.cwd())
    find_cases(repository, options.case)

    def show(found: Look) -> None:
        if options.json:
            print(json.dumps(found.to_dict()), flush=True)
        else:
            _show_look(found, options.case)

    return watch(options.case, repository.root, show=show, once=options.once)


def _show_look(found: Look, case: str) -> None:
    """What a look found, in a few lines."""
    print(f"{case}: {_headline(found)} ({found.seconds:.1f} s{', cold' if found.cold else ''})")
    if found.error:
        print(found.error)
    elif found.first:
        step = found.failing
        print(f"  {step['detail']}")
        if step["proved"]:
            print(f"  proved: {step['proved']}")
        for each in () if step["proved"] else step["usual"]:
            print(f"  usual: {each}")
    sys.stdout.flush()


def _headline(found: Look) -> str:
    if found.error:
        return "could not be looked at"
    passed = [step["step"] for step in found.walk["steps"] if step["status"] in ("ok", "registered")]
    if not found.first:
        return f"every step that applies passes: {', '.join(passed)}"
    return f"{found.first}: {found.failing['status']}"


def new_port(options: argparse.Namespace) -> int:
    """`harness new-port`: what was written, how the case stands, and what comes next."""
    from harness import environment, files
    from harness.cli.inspect import progress_of
    from harness.porting.new_port import new_port as begin
    from harness.porting.new_port import new_port_from_hub

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    _refuse_missing(options)
    further = {"port": options.port or "", "inputs": options.inputs or "", "force": options.force}
    with progress_of(options.name, quiet=options.json) as progress:
        if options.from_hub:
            begun = new_port_from_hub(options.name, repository, options.from_hub, **further, progress=progress)
        else:
            begun = begin(options.name, repository, reference=options.reference, **further, progress=progress)
    if options.json:
        print(json.dumps(begun.to_dict(), indent=2))
    else:
        _show_begun(begun)
    return begun.exit_status


def _refuse_missing(options: argparse.Namespace) -> None:
    """Raises SpecError where an option is missing or has no colon."""
    for option in ("reference", "port", "inputs"):
        value = getattr(options, option)
        needed = not options.from_hub and option != "inputs"
        module, _, function = (value or "").partition(":")
        if (value or needed) and not (module and function):
            got = repr(value) if value else "missing"
            raise SpecError("harness new-port", f"--{option} is {got}", todo="Give it as MODULE:FACTORY.")
    if options.from_hub and options.reference:
        raise SpecError("harness new-port", "--reference and --from-hub are both given", todo="Give one of them.")


def _show_begun(begun: Begun) -> None:
    """The files, what is guessed, what the case says, and the next steps."""
    print(f"{begun.name}: written")
    for file in begun.files:
        print(f"  {file}")
    certain = len(begun.lines) - len(begun.guessed)
    print(f"  {certain} lines certain, {len(begun.guessed)} guessed, {len(begun.open)} names open")
    if begun.comparison is not None:
        print("", begun.comparison, sep="\n")
    else:
        print("", f"{begun.name} could not be run: {begun.refused}", sep="\n")
    print("", "next:", *(f"  {number}. {text}" for number, text in enumerate(begun.next, start=1)), sep="\n")


def init(options: argparse.Namespace) -> int:
    """`harness init`: what was written, what was there already, what is left to do."""
    from harness.porting.init import init as begin

    started = begin(options.folder)
    if options.json:
        print(json.dumps(started.to_dict(), indent=2))
        return 0
    for label, names in (("written", started.written), ("there already", started.kept)):
        print(*(f"{label:<14} {name}" for name in names), sep="\n", end="\n" if names else "")
    print(*started.todo, sep="\n", end="\n" if started.todo else "")
    print("next: pytest, or harness check example; then harness new-port for a port of your own")
    return 0
