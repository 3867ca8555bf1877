"""Which way of asking a model gives its own scores: found by proof, on two of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.adapters.language import LanguageModel, Way
from harness.errors import RunError, SpecError
from harness.zeroshot.tokens import Request
from harness.zeroshot.trie import call_of, handed_over, rows_of, size_of, sums

TOLERANCE = 2e-4
"""Of a log-likelihood: what the order of float32 sums moves on SmolLM2-135M, measured 1.4e-4 over 782 of WinoBias."""

PADDING = 3
"""So many tokens of padding are put into the proof."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """way: how requests are put. error: the difference of a log-likelihood to that of the text alone.

    refused: in a sentence each, the quicker ways that were not taken, and why.
    """

    way: Way
    error: float
    refused: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the scores should know."""
        if self.error <= TOLERANCE:
            return ()
        return (
            f"padding and batches move a log-likelihood by {self.error:.2g}, more than {TOLERANCE}: half precision?",
        )


def choose_way(
    model: LanguageModel, requests: Sequence[Sequence[Request]], *, way: Way | None = None, batch: int = 1
) -> Chosen:
    """The quickest way whose scores are the model's plain ones; or `way`, if it is such a one.

    It is proved on the shortest and the longest example together, padded, by the longest's last branch, which stands
    behind what it must not see, against that one text alone.

    requests: of each example, one for each option. batch: tokens in a call, for a model that compiles: its proof has
    the shape of the calls to come.

    Raises:
        SpecError: the model has no such way.
        RunError: the way that was asked for gives other scores, or no numbers come at all.
    """
    if way is not None and way not in model.ways:
        problem = f"{model.describe()} cannot be asked so; it can be asked by {', '.join(model.ways)}"
        raise SpecError(f"way {way!r}", problem, todo="Leave the way out: the quickest is found.")
    ordered = sorted(requests, key=lambda example: max(len(each.tokens) for each in example))
    sample = [*ordered[0], *ordered[-1]]
    last = sample.index(max(ordered[-1], key=lambda each: each.tokens))
    (wanted,) = _scores(model, [sample[last]], "plain")
    refused: list[str] = []
    for each in (way,) if way else model.ways:
        try:
            found = _scores(model, sample, each, padding=PADDING, batch=batch)
            error = abs(wanted - found[last])
        except Exception as problem:  # whatever a model raises that was given a mask or cache it does not know
            refused.append(f"{each}: {type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}")
            continue
        if error <= TOLERANCE or (each == "plain" and error == error):
            return Chosen(each, error, tuple(refused))
        refused.append(f"{each}: moves a log-likelihood by {error:.3g}, where {TOLERANCE} is allowed")
    raise RunError(
        model.describe(), f"gives no sound scores ({'; '.join(refused)})", todo="Check it on one text first."
    )


def _scores(
    model: LanguageModel, requests: Sequence[Request], way: Way, *, padding: int = 0, batch: int = 1
) -> list[float]:
    """The log-likelihoods, all in one call."""
    whole = sum(len(each.tokens) for each in requests)
    rows = list(rows_of(requests, range(len(requests)), way=way, length=whole))
    prefix = handed_over(requests, way=way, ways=model.ways)
    longest = max(len(row.tokens) for row in rows) - prefix
    length, height = longest + padding if padding else 0, 0
    if padding and model.compiles:
        length = max(size_of(each, compiles=True) for each in requests)
        height = max(1, batch // length)
    found = model.log_probabilities(call_of(rows, way=way, prefix=prefix, length=length, height=height))
    by_number = sums(rows, found)
    return [by_number[number] for number in range(len(requests))]
