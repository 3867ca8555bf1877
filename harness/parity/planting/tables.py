"""Faults of tables: rows that are moved, cut off, always the same, swapped or wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.parity.compare import Array
from harness.parity.planting.evidence import close, first_whole, named
from harness.parity.planting.fault import Fault, Site, Watched, path_of, shifted
from harness.parity.planting.inputs import ONE_TYPE

Rows = Callable[[Array, int], Array]
"""From the rows that are looked up, and how many there are, to others."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of the call's table. rows: which are taken instead. wrong: a row with one element of the other sign."""

    rows: Rows | None = None
    wrong: int | None = None

    def __call__(self, watched: Watched, name: str) -> Array | None:
        """What it puts out."""
        call = watched.calls.get(name)
        ids, table = (first_whole(call), named(watched.own(name)).get("weight")) if call else (None, None)
        if ids is None or table is None or table.ndim != 2 or ids.max() >= len(table) or ids.min() < 0:
            return None
        if self.rows is not None:
            ids = self.rows(ids, len(table))
        made: Array = table[ids]
        if self.wrong is not None:
            made[..., 0] *= np.where(ids == self.wrong % len(table), -1, 1)
        return made


def table_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """The call looks rows up; others, or wrong ones."""
    call, known, site = watched.calls[name], Lookup(), Site(name)
    table, out = named(watched.own(name)).get("weight"), call.outputs.get("")
    if table is None or out is None or first_whole(call) is None or watched.inside(name):
        return
    if not close(known(watched, name), out):
        return
    path = path_of(name)

    def fault(cause: str, what: str, rows: Rows, unseen: str = "") -> Fault:
        return Fault(cause, what, path, shifted(site, known, Lookup(rows)), unseen)

    if "type" in path:
        yield fault("token types ignored", "row 0 is taken whatever is given", lambda i, _: 0 * i, ONE_TYPE)
        yield fault("token types swapped", "rows are taken in reverse", lambda i, n: n - 1 - i)
    elif "position" in path or path.rpartition(".")[2] == "wpe":
        yield fault("position offset", "each row is the next one", lambda i, n: np.minimum(i + 1, n - 1))
        end = len(table) // 2
        what = f"they end at {end}"
        yield fault("positions end", what, lambda i, n: np.minimum(i, n // 2), f"no input is longer than {end}")
    else:
        yield fault("rows moved", "each row is the next one", lambda i, n: (i + 1) % n)
        ids = first_whole(call)
        for row, what in ((int(ids.flat[0]), "of a token given"), (len(table) // 2, "of the middle row")):  # type: ignore[union-attr]
            wrong = Lookup(wrong=row)
            unseen = f"no input holds row {row}"
            yield Fault(
                "corrupted element", f"one {what} has the other sign", path, shifted(site, known, wrong), unseen
            )
