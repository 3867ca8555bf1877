"""From requests to rows: what several requests begin with stands once in a row, and each is a path through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.adapters.language import Rows, Way
from harness.adapters.protocols import Array
from harness.zeroshot.tokens import Request

LONG = 16
"""A shorter beginning costs less in every row than its cache, which is copied for every call."""


@dataclass(slots=True)
class Row:
    """Tokens of which each follows another of the row, `parents`, or nothing, -1.

    asked: (column, next token) -> its place among what is asked of the row. requests: number of a request -> places.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    asked: dict[tuple[int, int], int] = field(default_factory=dict)
    requests: dict[int, list[int]] = field(default_factory=dict)

    def add(self, number: int, request: Request, path: list[int], shared: int) -> list[int]:
        """Add a request of which the first `shared` tokens stand on `path` already; its own path."""
        path = path[:shared]
        # The last token is scored, but nothing follows it.
        for token in request.tokens[shared:-1]:
            self.tokens.append(token)
            self.parents.append(path[-1] if path else -1)
            path.append(len(self.tokens) - 1)
        first = len(request.before) - 1
        edges = zip(path[first:], request.completion, strict=True)
        self.requests[number] = [self.asked.setdefault(edge, len(self.asked)) for edge in edges]
        return path

    def positions(self) -> Array:
        """How many tokens of its own path stand before each."""
        found = np.zeros(len(self.tokens), np.int64)
        for column, parent in enumerate(self.parents):
            found[column] = found[parent] + 1 if parent >= 0 else 0
        return found

    def seen(self) -> Array:
        """Which tokens each may look at, (length, length): itself, and those of its own path before it."""
        found = np.eye(len(self.tokens), dtype=bool)
        for column, parent in enumerate(self.parents):
            if parent >= 0:
                found[column] |= found[parent]
        return found


def rows_of(requests: Sequence[Request], numbers: Sequence[int], *, way: Way, length: int) -> Iterator[Row]:
    """Rows that hold the requests with these numbers, in the order of their tokens.

    In a tree a row takes requests as long as there is room for `length` tokens; otherwise one request a row.
    """
    ordered = sorted(numbers, key=lambda number: requests[number].tokens)
    row, path, last = Row(), list[int](), Request((), ())
    for number in ordered:
        request = requests[number]
        shared = min(_shared(last.tokens[:-1], request.tokens[:-1]), len(path))
        room = length - len(row.tokens)
        if row.tokens and (way != "tree" or len(request.tokens) - 1 - shared > room):
            yield row
            row, path, shared = Row(), [], 0
        path = row.add(number, request, path, shared)
        last = request
    if row.tokens:
        yield row


def call_of(rows: Sequence[Row], *, way: Way, prefix: int = 0, length: int = 0, height: int = 0) -> Rows:
    """One call for several rows, padded on the right to the longest, or to `length`; and to `height` rows.

    prefix: so many tokens, with which every row begins, are handed over once. A token of padding looks at itself alone,
    and nothing looks at it.
    """
    longest = max(max(len(each.tokens) for each in rows) - prefix, length)
    shape = (max(len(rows), height), longest)
    tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    valid = np.zeros(shape, bool)
    seen = np.broadcast_to(np.eye(longest, dtype=bool), (*shape, longest)).copy() if way == "tree" else None
    for number, row in enumerate(rows):
        used = len(row.tokens) - prefix
        tokens[number, :used] = row.tokens[prefix:]
        positions[number, :used] = row.positions()[prefix:]
        valid[number, :used] = True
        if seen is not None:
            seen[number, :used, :used] = row.seen()[prefix:, prefix:]
    asked = [(number, column - prefix, token) for number, row in enumerate(rows) for column, token in row.asked]
    row_, column, token = np.array(asked, np.int64).T
    return Rows(tokens, positions, valid, row_, column, token, seen, np.array(rows[0].tokens[:prefix], np.int64))


def handed_over(requests: Sequence[Request], *, way: Way, ways: Sequence[Way]) -> int:
    """How many of the tokens that all requests begin with are run once, and kept in a cache; in a tree if it pays."""
    if way == "plain" or "prefix" not in ways:
        return 0
    found = _common(requests)
    return found if way == "prefix" or found >= LONG else 0


def size_of(request: Request, *, compiles: bool) -> int:
    """Requests of one size share plain calls: those of nearly one length, or, where shapes are dear, of half to all."""
    used = len(request.tokens) - 1
    return 1 << max(4, (used - 1).bit_length()) if compiles else -8 * (-used // 8)


def sums(rows: Sequence[Row], found: Array) -> dict[int, float]:
    """What a call found of the rows, as the log-likelihood of each request by its number."""
    start, totals = 0, {}
    for row in rows:
        for number, places in row.requests.items():
            totals[number] = float(sum(found[start + place] for place in places))
        start += len(row.asked)
    return totals


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    count = 0
    for first, second in zip(one, other):
        if first != second:
            break
        count += 1
    return count


def _common(requests: Sequence[Request]) -> int:
    """How many tokens all requests begin with, at none of which anything is asked."""
    first, last = min(requests, key=_tokens), max(requests, key=_tokens)
    # In the order of their tokens, what the first and the last share, all do.
    return min(_shared(first.tokens, last.tokens), *(len(each.before) - 1 for each in requests))


def _tokens(request: Request) -> tuple[int, ...]:
    return request.tokens
