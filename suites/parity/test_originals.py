"""Ports against the implementations that they were ported from: `fixtures/originals`, `fixtures/conversions`."""

import os
from pathlib import Path

import numpy as np
import pytest

from harness.cases.conversion import convert
from harness.cases.mapping import matches
from harness.equivalence.corrections import edits, read_corrections
from harness.errors import MissingError
from harness.register import applies, read_register

FIXTURES = Path(__file__).parents[2] / "fixtures"
ROWS = [row for row in read_register(FIXTURES / "register") if row.area == "originals"]
CORRECTIONS = read_corrections(FIXTURES / "originals" / "corrections")
SUBJECTS = [pytest.param(row, subject, id=f"{row.id}-{subject}") for row in ROWS for subject in row.subjects]


@pytest.fixture
def parts(case):
    """The case's sides and rules, if its original is here."""
    from harness import find_repository
    from harness.parity.case import Parts

    try:
        found = Parts(case, find_repository(case.file))
        if case.original.recorded:
            found.reference()  # whether the recording is here, only its factory knows
        return found
    except MissingError as error:
        pytest.skip(error.problem)


@pytest.mark.case("original-*")
def test_port_computes_what_its_original_does(case, parity):
    parity(case)


@pytest.mark.case("original-*")
def test_every_weight_is_where_the_rules_say(case, parts):
    from harness import audit_case, find_repository
    from harness.parity.audit import Status

    found = audit_case(case, find_repository(case.file))
    assert [row for row in found.rows if row.status is not Status.OK] == []


@pytest.mark.case("original-*")
def test_an_original_is_the_same_each_time(case, parts):
    """One that leaves a weight as it lies in memory is another each time, or holds no numbers."""
    from harness.adapters.choose import adapt
    from harness.parity.playback import Recorded
    from harness.parity.stored import Stored

    made = [parts.reference() for _ in range(2)]
    sides = [Recorded(each) if isinstance(each, Stored) else adapt(each) for each in made]
    one, other = (side.weights() for side in sides)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name].array, other[name].array) for name in one)
    assert all(np.isfinite(weight.array).all() for weight in one.values() if weight.trained)


@pytest.mark.case("original-*")
def test_the_rules_lead_back(case, parts):
    from harness.adapters.choose import adapt
    from harness.parity.playback import Recorded
    from harness.parity.stored import Stored

    reference = parts.reference()
    ours = Recorded(reference) if isinstance(reference, Stored) else adapt(reference)
    sides = ours, adapt(parts.port(reference))
    weights, theirs = ({name: weight.array for name, weight in side.weights().items()} for side in sides)
    rules = parts.conversion().reversed()
    settings = {**sides[0].settings(), **parts.settings()}
    back = convert(theirs, rules, settings=settings, place=case.name)
    assert back
    assert all(np.array_equal(weights[name], array) for name, array in back.items())
    made = [pattern for rule in rules.rule if not rule.sources for pattern in rule.targets]
    assert [name for name in weights if name not in back and not matches(name, made)] == []


@pytest.mark.slow
@pytest.mark.parametrize(("row", "subject"), SUBJECTS)
def test_a_correction_makes_the_port_agree(row, subject):
    from harness import Verdict, check_case, find_cases, find_repository
    from harness.adapters.transformers.corrected import corrected

    if not applies(row):
        pytest.skip(f"the row holds for {dict(row.applies_to)}")
    repository = find_repository(FIXTURES)
    (case,) = find_cases(repository, subject)
    ids = [each.id for each in ROWS if subject in each.subjects]
    try:
        with corrected(edits(CORRECTIONS, ids)):
            assert check_case(case, repository).verdict is Verdict.AGREE
        with corrected(edits(CORRECTIONS, [each for each in ids if each != row.id])):
            assert check_case(case, repository).verdict is not Verdict.AGREE
    except MissingError as error:
        pytest.skip(error.problem)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_says_where_its_correction_is(row):
    from harness.adapters.transformers.corrected import line_of

    if not applies(row):
        pytest.skip(f"the row holds for {dict(row.applies_to)}")
    first = next(each for each in CORRECTIONS if each.id == row.id)
    file, _, line = row.where.rpartition(":")
    assert file == f"transformers/{first.module.replace('.', '/')}.py"
    assert abs(int(line) - line_of(first.module, first.old)) <= 5, line_of(first.module, first.old)


@pytest.mark.slow
@pytest.mark.case("real-*")
def test_port_computes_what_its_original_does_with_real_weights(case, parity):
    parity(case)


DAMAGED = {
    "cut off": (lambda data, table: (data[: len(data) // 2], table), "is no whole safetensors file"),
    "not JSON": (lambda data, table: (data, table[:-3]), "is not JSON"),
    "another layout": (lambda data, table: (data, '{"traces": []}'), "has no 'cases'"),
    "an array is missing": (
        lambda data, table: (data, table.replace('"bert/pooler/dense/bias"', '"bert/pooler/dense/beta"')),
        "has no 'short_full:weights:bert/pooler/dense/beta'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_trace_that_is_damaged_is_refused(damage, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from fixtures.originals.bigbird import NAME, original
    from harness.errors import SpecError

    folder = Path(os.environ.get("HARNESS_DATA", ""))
    if not (folder / f"{NAME}.json").is_file():
        pytest.skip(f"HARNESS_DATA: no {NAME}.json in {folder}")
    change, message = DAMAGED[damage]
    files = [folder / f"{NAME}{end}" for end in (".safetensors", ".json")]
    data, table = change(files[0].read_bytes(), files[1].read_text())
    (tmp_path / files[0].name).write_bytes(data)
    (tmp_path / files[1].name).write_text(table)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    with pytest.raises(SpecError, match=message):
        original(case="short_full")


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_without_the_trace_it_is_said_where_it_was_looked_for(folder, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from fixtures.originals.bigbird import original

    monkeypatch.setenv("HARNESS_DATA", folder)
    where = "no bigbird_original_trace.json in nowhere" if folder else "HARNESS_DATA names no folder"
    with pytest.raises(MissingError, match=f"HARNESS_DATA: needs the trace of BigBird's original: {where}"):
        original(case="short_full")
