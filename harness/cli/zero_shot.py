"""`harness zero-shot`: score a task, or read scores again; compare, and propose the results to the Hub."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.inspect import progress_of
from harness.errors import SpecError
from harness.settings import Repository, find_repository

if TYPE_CHECKING:
    from rich.console import Console

    from harness.zeroshot.answer import Answer
    from harness.zeroshot.family import Family
    from harness.zeroshot.lm_eval import Agreement
    from harness.zeroshot.paired import Paired
    from harness.zeroshot.publish import Proposed

BAR = 24
"""Columns of the bar of an interval, from 0 to 100 %."""


@dataclass(slots=True)
class Told:
    """What the command found, in the order in which it is shown."""

    answers: list[Answer] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)
    paired: list[tuple[Answer, Answer, Paired]] = field(default_factory=list)
    lm_eval: Agreement | None = None
    proposed: Proposed | None = None


def zero_shot(options: argparse.Namespace) -> int:
    """`harness zero-shot`: accuracy as text or JSON; 1 if lm-eval's samples say otherwise."""
    from harness import environment, files
    from harness.zeroshot.answer import read_answer

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    _check(options)
    told = Told([read_answer(file) for file in options.scores])
    told.answers += _asked(options, options.model, repository)
    against = _against(options, repository)
    _compare(told, against, options)
    if options.publish:
        _publish(told, options)
    if options.json:
        print(json.dumps(_json(told, options), indent=2))
    else:
        _show(told, options)
    return 0 if told.lm_eval is None or told.lm_eval.same else 1


def _check(options: argparse.Namespace) -> None:
    if bool(options.task) != bool(options.model):
        problem = "a task without a model" if options.task else "a model without a task"
        raise SpecError("harness zero-shot", problem, todo="Give TASK and --model, or --from with scores.")
    if not options.task and not options.scores:
        raise SpecError("harness zero-shot", "nothing is asked", todo="Give TASK and --model, or --from with scores.")
    if options.pull_request and not options.publish:
        raise SpecError("harness zero-shot", "--pull-request without --publish", todo="Add --publish OWNER/NAME.")


def _asked(options: argparse.Namespace, words: Sequence[str], repository: Repository) -> list[Answer]:
    """Every model's answers to every task; a model is let go before the next is loaded."""
    from harness.zeroshot.answer import ask
    from harness.zeroshot.models import load_model
    from harness.zeroshot.progress import bar
    from harness.zeroshot.task import find_tasks

    tasks = find_tasks(repository, *options.task) if words else []
    if options.limit:
        tasks = [replace(task, limit=options.limit) for task in tasks]
    answers = []
    for word in words:
        with progress_of(f"load {word}", quiet=options.json) as step:
            named = load_model(word, repository, progress=step)
        for task in tasks:
            folder = options.output / re.sub(r"[^\w.-]+", "-", f"{task.name}.{named.name}")
            with nullcontext() if options.json else bar(f"{named.name}, {task.name}") as progress:
                answers.append(ask(named, task, repository, folder=folder, progress=progress))
        del named
    return answers


def _against(options: argparse.Namespace, repository: Repository) -> list[Answer]:
    from harness.zeroshot.answer import read_answer

    words = [word for word in options.against if not word.endswith(".jsonl")]
    if words and not options.task:
        raise SpecError(f"--against {words[0]}", "a model without a task", todo="Give TASK, or a file of scores.")
    files = [Path(word) for word in options.against if word.endswith(".jsonl")]
    return [read_answer(file) for file in files] + _asked(options, words, repository)


def _compare(told: Told, against: Sequence[Answer], options: argparse.Namespace) -> None:
    from harness.zeroshot.family import family
    from harness.zeroshot.lm_eval import agreement, read_samples
    from harness.zeroshot.paired import paired

    by_task: dict[str, list[Answer]] = {}
    for answer in told.answers:
        by_task.setdefault(answer.task.name, []).append(answer)
    for task, answers in by_task.items():
        sizes = {each.model: each.size for each in answers if each.size}
        if len(sizes) > 1 and len(sizes) == len(answers) and len({each.parameters for each in sizes.values()}) > 1:
            scored = {each.model: each.scored for each in answers}
            chosen = options.normalisation or answers[0].task.normalisation
            told.families.append(family(task, scored, sizes, chosen))
    for other in against:
        met = [answer for answer in told.answers if answer.task.name == other.task.name]
        if not met:
            raise SpecError(f"--against {other.model}", f"is of task {other.task.name}", todo="Compare on one task.")
        for answer in met:
            chosen = options.normalisation or answer.task.normalisation
            told.paired.append((answer, other, paired(answer.scored, other.scored, chosen)))
    if options.lm_eval:
        if len(told.answers) != 1:
            raise SpecError("--lm-eval", f"{len(told.answers)} results", todo="Compare one model on one task.")
        (answer,) = told.answers
        told.lm_eval = agreement(read_samples(options.lm_eval), answer.examples, answer.scored)


def _publish(told: Told, options: argparse.Namespace) -> None:
    from harness.zeroshot.publish import publish

    models = {answer.model for answer in told.answers}
    if len(models) != 1:
        raise SpecError("--publish", f"results of {len(models)} models", todo="Publish one model's at a time.")
    results = [(answer.task, answer.summary(options.normalisation).accuracy) for answer in told.answers]
    told.proposed = publish(options.publish, results, really=options.pull_request)


def _json(told: Told, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "schema": 1,
        "results": [
            answer.summary(options.normalisation).to_dict() | {"way": answer.way, "notes": list(answer.notes)}
            for answer in told.answers
        ],
        "families": [each.to_dict() for each in told.families],
        "paired": [
            {"task": one.task.name, "first": one.model, "second": other.model, **asdict(found)}
            for one, other, found in told.paired
        ],
        "lm_eval": asdict(told.lm_eval) | {"same": told.lm_eval.same} if told.lm_eval else None,
        "published": asdict(told.proposed) if told.proposed else None,
    }


def _show(told: Told, options: argparse.Namespace) -> None:
    from rich.console import Console

    from harness.zeroshot.summary import row

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for answer in told.answers:
        console.print(str(answer.summary(options.normalisation)))
        if answer.way:
            console.print(row("asked", "; ".join((f"by {answer.way}", *answer.notes))))
    for family in told.families:
        _show_family(family, console)
    for one, other, found in told.paired:
        console.print(f"{one.model} against {other.model} on {one.task.name}")
        console.print(row("right", f"both {found.both}, neither {found.neither}"))
        console.print(row("alone", f"{found.first_alone} the first, {found.second_alone} the second"))
        told_p = f"p = {found.p:.2g} (exact McNemar, paired)"
        console.print(row("difference", f"{found.difference:+.2%} of the second, {told_p}"))
    if told.lm_eval:
        _show_agreement(told.lm_eval, console)
    if told.proposed:
        console.print(told.proposed.difference)
        proposal = told.proposed.url or "nothing was written; --pull-request proposes this"
        console.print(f"{told.proposed.repository}: {proposal}")


def _show_family(family: Family, console: Console) -> None:
    from rich.table import Table

    from harness.zeroshot.size import short
    from harness.zeroshot.summary import row

    table = Table(title=family.task, title_justify="left", box=None, pad_edge=False)
    for heading in ("model", "parameters", "FLOPs/token", "accuracy"):
        table.add_column(heading, justify="left" if heading == "model" else "right", overflow="fold")
    table.add_column(f"0 %{'100 %':>{BAR - 3}}", no_wrap=True)
    for member in family.members:
        share, interval = member.accuracy.accuracy, member.accuracy.interval
        sizes = (short(member.size.parameters), short(member.size.flops))
        table.add_row(member.name, *sizes, f"{share:.1%}", drawn(share, *interval))
    console.print(table)
    console.print(row("trend", family.trend))


def drawn(share: float, low: float, high: float) -> str:
    """The interval as dashes and the share as an o, between 0 and 100 %, of which the half is marked.

    >>> drawn(0.25, 0.1, 0.4)
    '  ----o---  :           '
    """
    places = ["-" if low <= (place + 0.5) / BAR <= high else " " for place in range(BAR)]
    places[BAR // 2] = places[BAR // 2].replace(" ", ":")
    places[min(BAR - 1, int(share * BAR))] = "o"
    return "".join(places)


def _show_agreement(found: Agreement, console: Console) -> None:
    from harness.zeroshot.summary import row

    where = f", in {found.worst}" if found.worst else ""
    console.print(f"against lm-eval: {'the same' if found.same else 'not the same'}")
    console.print(row("decisions", f"{found.decisions} of {found.examples} the same; targets {found.targets}"))
    console.print(row("furthest", f"{found.error:.2g} of a log-likelihood{where}"))
    if found.theirs_alone or found.ours_alone:
        console.print(row("not met", f"{found.theirs_alone} samples there, {found.ours_alone} examples here"))
