"""Score the options of examples by a causal language model: the summed log-probability of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness.adapters.language import LanguageModel, Way, language_model
from harness.adapters.tokenizer import tokenizer_of
from harness.errors import SpecError
from harness.zeroshot.example import Example
from harness.zeroshot.scored import Scored
from harness.zeroshot.tokens import Bos, Request, requests_of
from harness.zeroshot.trie import Row, call_of, handed_over, rows_of, size_of, sums
from harness.zeroshot.way import Chosen, choose_way

Progress = Callable[[int, int], None]
"""Told how many examples are scored, and of how many."""

BATCH = 1024
"""Tokens in a call: on one core SmolLM2-135M takes 3 % less time than with 512, and 60 MB more memory."""

LENGTHS = (128, 192, 256, 384, 512, 768, 1024)
"""Of a row in a tree, from which the cheapest is taken."""

LINEAR = 1800
"""In a row of so many tokens attention costs as much as all else: fitted to SmolLM2-135M, rows of 128 to 512 tokens."""

SAMPLE = 1000
"""So many examples say which length is the cheapest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How examples are scored: everything that needs no model any more but the scores.

    requests: of each example, one for each option. chosen: the way, with its proof. length: of a row in a tree.
    """

    model: LanguageModel
    examples: tuple[Example, ...]
    requests: tuple[tuple[Request, ...], ...]
    chosen: Chosen
    batch: int
    length: int


def score(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    way: Way | None = None,
    bos: Bos = "tokenizer",
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Iterator[Scored]:
    """The score of every example, in the order in which they are done.

    way: how requests are put to the model; without it the quickest whose scores are proved to be its own.
    bos: what begins a text. batch: tokens in a call; more need more memory, and change no score.

    Raises:
        SpecError: there is no example, an example has no tokens to score, or more than the model takes.
    """
    return run(plan(model, tokenizer, examples, way=way, bos=bos, batch=batch), progress=progress)


def plan(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    way: Way | None = None,
    bos: Bos = "tokenizer",
    batch: int = BATCH,
) -> Plan:
    """How the examples are to be scored; the way is chosen by a proof on two of them. Options as for `score`."""
    if not examples:
        raise SpecError("zero_shot", "there is no example", todo="Give a task with examples.")
    if batch < 1:
        raise SpecError("zero_shot", f"batch = {batch!r}: want tokens in a call, 1 or more", todo="Leave it out.")
    adapted, tokens = language_model(model), tokenizer_of(tokenizer)
    requests = requests_of(examples, tokens, bos=bos)
    _check_lengths(examples, requests, adapted)
    chosen = choose_way(adapted, requests, way=way, batch=batch)
    longest = max(len(each.tokens) for several in requests for each in several)
    length = _cheapest(requests, adapted) if chosen.way == "tree" else longest
    return Plan(adapted, tuple(examples), tuple(map(tuple, requests)), chosen, batch, length)


def run(planned: Plan, *, progress: Progress | None = None) -> Iterator[Scored]:
    """The score of every example, in the order in which they are done."""
    done = 0
    for several in batches(planned):
        yield from several
        done += len(several)
        if progress:
            progress(done, len(planned.examples))


def batches(planned: Plan) -> Iterator[list[Scored]]:
    """The scores of the examples that each call has finished."""
    owners = [(number, option) for number, several in enumerate(planned.requests) for option in range(len(several))]
    flat = [request for several in planned.requests for request in several]
    found: dict[int, dict[int, float]] = {}
    for rows, call in _calls(planned, flat):
        finished = []
        for request, value in sums(rows, planned.model.log_probabilities(call)).items():
            number, option = owners[request]
            values = found.setdefault(number, {})
            values[option] = value
            if len(values) == len(planned.requests[number]):
                ordered = tuple(value for _, value in sorted(found.pop(number).items()))
                finished.append(_scored(planned.examples[number], planned.requests[number], ordered))
        if finished:
            yield finished


def _calls(planned: Plan, requests: Sequence[Request]) -> Iterator[tuple[list[Row], Any]]:
    """The calls that score every request, each with its rows."""
    way, batch, compiles = planned.chosen.way, planned.batch, planned.model.compiles
    numbers = list(range(len(requests)))
    if way != "plain":
        packed = rows_of(requests, numbers, way=way, length=planned.length)
        yield from _packed(planned, requests, packed)
        return
    sized = sorted(numbers, key=lambda number: len(requests[number].tokens))
    for length, group in groupby(sized, key=lambda number: size_of(requests[number], compiles=compiles)):
        height = max(1, batch // length)
        rows = list(rows_of(requests, list(group), way=way, length=length))
        for start in range(0, len(rows), height):
            several = rows[start : start + height]
            fixed = {"length": length, "height": height} if compiles else {}
            yield several, call_of(several, way=way, **fixed)


def _packed(planned: Plan, requests: Sequence[Request], rows: Iterator[Row]) -> Iterator[tuple[list[Row], Any]]:
    """Calls of as many rows as the batch holds, without what all of them begin with."""
    way, ways = planned.chosen.way, planned.model.ways
    everywhere = handed_over(requests, way=way, ways=ways)

    def made(several: list[Row]) -> tuple[list[Row], Any]:
        own = [requests[number] for row in several for number in row.requests]
        # In a tree the beginning of the whole task, so that its cache serves every call.
        prefix = everywhere if way == "tree" else handed_over(own, way=way, ways=ways)
        return several, call_of(several, way=way, prefix=prefix)

    waiting: list[Row] = []
    for row in rows:
        longest = max(len(each.tokens) for each in (*waiting, row)) - everywhere
        if waiting and longest * (len(waiting) + 1) > planned.batch:
            yield made(waiting)
            waiting = []
        waiting.append(row)
    yield made(waiting)


def _cheapest(requests: Sequence[Sequence[Request]], model: LanguageModel) -> int:
    """The length of a row that costs least: longer rows share more, and attend to more."""
    flat = [request for several in requests[:SAMPLE] for request in several]
    longest = max(len(request.tokens) for several in requests for request in several)
    prefix = handed_over(flat, way="tree", ways=model.ways)
    lengths = [each + prefix for each in LENGTHS if each + prefix <= (model.context or each + prefix)] or [longest]

    def cost(length: int) -> float:
        rows = rows_of(flat, range(len(flat)), way="tree", length=length)
        return sum(len(row.tokens) - prefix for row in rows) * (1 + max(length, longest) / LINEAR)

    return min(lengths, key=cost)


def _check_lengths(examples: Sequence[Example], requests: Sequence[Sequence[Request]], model: LanguageModel) -> None:
    for example, several in zip(examples, requests, strict=True):
        longest = max(len(each.tokens) for each in several) - 1
        if model.context is not None and longest > model.context:
            problem = f"{longest} tokens, where {model.describe()} takes {model.context}"
            raise SpecError(f"example {example.id!r}", problem, todo="Shorten its prompt, or ask for fewer shots.")


def _scored(example: Example, requests: Sequence[Request], log_likelihoods: tuple[float, ...]) -> Scored:
    return Scored(
        example.id,
        example.target,
        log_likelihoods,
        tokens=tuple(len(each.completion) for each in requests),
        characters=tuple(len(option) for option in example.options),
        bytes=tuple(len(option.encode()) for option in example.options),
    )
