"""A part of a run's tests, for one of several machines: the part of each test follows from its id alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from harness.errors import SpecError


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count`, counted from 1.

    >>> str(Shard(2, 3))
    '2/3'
    """

    number: int
    count: int

    def holds(self, test: str) -> bool:
        """Whether the test is in this part: a new test moves no other, nor does the order matter.

        >>> [Shard(number, 3).holds("test_a.py::test_it[x]") for number in (1, 2, 3)].count(True)
        1
        """
        digest = hashlib.sha256(test.encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def read_shard(text: str) -> Shard:
    """The part that `K/N` names.

    Raises:
        SpecError: it names none.
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise SpecError(
            f"--shard {text}", "is not part K of N, counted from 1", todo="Write --shard 2/3 for the second of three."
        )
    return Shard(number, count)
