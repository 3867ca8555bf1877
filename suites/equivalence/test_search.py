"""Fields set together: on no configuration that is drawn do twins disagree, save where the register knows of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.equivalence.search import runs_of
from harness.register import read_register
from suites.equivalence.conftest import FAMILIES

ROWS = read_register(Path(__file__).parents[2] / "fixtures" / "register")
SEARCHES = [pytest.param(family, run, id=f"{family.id}.{run}") for family in FAMILIES for run in runs_of(family)]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "run"), SEARCHES)
def test_twins_agree_on_fields_set_together(family, run, request, twins):
    from suites.equivalence.search import search

    seeded = request.config.getoption("--hypothesis-seed", None) is not None
    examples = request.config.getoption("search_examples")
    searched = search(family, run, ROWS, examples=examples, derandomize=not seeded)
    if searched is None:
        pytest.skip(f"no class of {family.id} has this run as it stands, or the register knows that it diverges in it")
    outcome = outcome_of(family, run, searched)
    assert searched.found or searched.enough, f"of {searched.tried} configurations {searched.compared} were compared"
    twins(outcome)


def outcome_of(family, run, searched):
    """The search as a claim, which no row of the register explains: what is found is to be a field of its own."""
    from harness.equivalence.claims import claims_of
    from harness.equivalence.fields import check_name
    from harness.equivalence.outcome import Outcome
    from harness.equivalence.search import field_of, pasted
    from harness.parity.compare import Verdict

    found = searched.found
    head = found.head if found else family.head_of()
    numbers = {"configurations": searched.tried}
    blank = Outcome(
        family.id, head.reference, head.port_name, f"search {run}", Verdict.AGREE, compared=searched.compared,
        numbers=numbers,
    )  # fmt: skip
    if not found:
        return blank
    line = found.seen.line
    error, scale = (line.error, line.scale) if line else (float("inf"), 1.0)
    if not found.drawn:
        return replace(blank, verdict=Verdict.DIVERGE, reason=f"the base itself: {found.why}", error=error, scale=scale)
    varied = field_of(family, head, run, found.drawn)
    check = check_name(varied, varied.values[0])
    name = f"{family.id}.{head.reference}.{check}"
    test = f"pytest --run-slow 'suites/equivalence/test_fields.py::test_field_is_followed_by_both[{name}]'"
    file = f"fixtures/equivalence/families/{family.id}.toml"
    added = "" if check in dict(claims_of(family, head)) else f"add this to {file}\n\n{pasted(varied)}\n\nand "
    return replace(
        blank,
        verdict=Verdict.DIVERGE,
        reason=f"{name}: {found.why}",
        error=error,
        scale=scale,
        notes=(f"to repeat it, {added}run\n\n{test}\n",),
    )
