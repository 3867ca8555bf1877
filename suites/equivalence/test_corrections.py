"""The cause of every registered divergence: with the library's source corrected in memory, the twins agree."""

import pytest

from harness.equivalence.claims import claim_of
from harness.equivalence.corrections import edits, read_corrections
from harness.parity.compare import Verdict
from harness.register import applies, read_register
from suites.equivalence.conftest import FAMILIES, FIXTURES

ROWS = [row for row in read_register(FIXTURES / "register") if row.area == "equivalence"]
CORRECTIONS = read_corrections(FIXTURES / "equivalence" / "corrections")
SUBJECTS = [pytest.param(row, subject, id=f"{row.id}-{subject}") for row in ROWS for subject in row.subjects]


def ids_for(subject):
    """The rows that concern a subject, whose corrections are made together."""
    return [row.id for row in ROWS if subject in row.subjects and row.kind != "limit"]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "subject"), SUBJECTS)
def test_correction_makes_the_twins_agree(row, subject):
    from harness.adapters.transformers.corrected import corrected

    if not applies(row):
        pytest.skip(f"the row holds for {dict(row.applies_to)}")
    claim = claim_of(subject, FAMILIES)
    ids = ids_for(subject)
    with corrected(edits(CORRECTIONS, ids)):
        outcome = claim()
    assert outcome.verdict is Verdict.AGREE, str(outcome)
    with corrected(edits(CORRECTIONS, [each for each in ids if each != row.id])):
        outcome = claim()
    assert outcome.verdict is not Verdict.AGREE, f"it agrees without the correction of {row.id}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind != "limit"], ids=lambda row: row.id)
def test_row_says_where_its_correction_is(row):
    from harness.adapters.transformers.corrected import line_of

    if not applies(row):
        pytest.skip(f"the row holds for {dict(row.applies_to)}")
    first = next(each for each in CORRECTIONS if each.id == row.id)
    file, _, line = row.where.rpartition(":")
    assert file == f"transformers/{first.module.replace('.', '/')}.py"
    assert abs(int(line) - line_of(first.module, first.old)) <= 5, line_of(first.module, first.old)


def test_every_subject_is_a_claim():
    for row in ROWS:
        for subject in row.subjects:
            claim_of(subject, FAMILIES)


def test_no_correction_is_idle():
    assert {each.id for each in CORRECTIONS} == {row.id for row in ROWS if row.kind != "limit"}
