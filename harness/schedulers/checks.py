"""Every check that a row of the table allows, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from harness.errors import HarnessError
from harness.schedulers.agreement import agreement
from harness.schedulers.alone import original_order
from harness.schedulers.moments import moments
from harness.schedulers.oracle import oracle_loop
from harness.schedulers.order import order_of, weak_order_of
from harness.schedulers.outcome import Outcome, worst_of
from harness.schedulers.rows import Row, Table


def names_of(row: Row) -> tuple[str, ...]:
    """The checks that a row allows: original, moments, order, oracle; for a row without a scheduler, its order."""
    if not row.scheduler:
        return ("order",) if row.order else ()
    allowed = {
        "original": bool(row.original or row.formula),
        "moments": row.stochastic and bool(row.original or row.formula),
        "order": bool(row.order or row.weak),
        "oracle": row.oracle,
    }
    return tuple(name for name, is_allowed in allowed.items() if is_allowed)


def check(row: Row, name: str, table: Table, *, slow: bool = False) -> Outcome:
    """The outcome of the check called `name` on the row, over the variants that slow or quick tests try.

    A scheduler that raises has an infinite error, and its message is the outcome's reason.
    """
    place = next((number for number, each in enumerate(table.row, start=1) if each.id == row.id), 0)
    try:
        return replace(CHECKS[name](row, table, slow), note=row.note, place=place)
    except HarnessError:
        raise
    except Exception as error:
        said = f"it raised {type(error).__name__}: {error}"
        port = f"{row.scheduler}, {row.steps} steps"
        return Outcome(
            row.id, name, row.sampler, "a run that ends", port, math.inf, 0.0, worst=said, compared=1, place=place
        )


def _original(row: Row, table: Table, slow: bool) -> Outcome:
    return agreement(row, table.tried(row, slow=slow))


def _moments(row: Row, table: Table, slow: bool) -> Outcome:
    # From the largest sigma of the squared-cosine betas, 20000, or in two or three steps, float64 itself loses digits.
    extreme = {"beta_schedule": "squaredcos_cap_v2"}.items()
    tried = [each for each in table.tried(row, slow=slow) if not each.steps and not extreme <= each.options.items()]
    return worst_of([moments(row, variant) for variant in tried])


def _order(row: Row, _table: Table, _slow: bool) -> Outcome:
    if not row.scheduler:
        return original_order(row)
    return weak_order_of(row) if row.weak else order_of(row)


def _oracle(row: Row, table: Table, slow: bool) -> Outcome:
    return oracle_loop(row, table.tried(row, slow=slow))


CHECKS: dict[str, Callable[[Row, Table, bool], Outcome]] = {
    "original": _original,
    "moments": _moments,
    "order": _order,
    "oracle": _oracle,
}
