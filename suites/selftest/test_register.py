"""The register's format, and that the rows of this repository still point at something."""

import importlib.util
import re
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.register import applies, covered, read_register, rows_for
from harness.settings import find_repository

REPOSITORY = find_repository(Path(__file__))
ELSEWHERE = ("schedulers", "equivalence", "end-to-end", "tokenizers")
ROWS = read_register(REPOSITORY.register)


def test_a_row_is_read_whole(toys):
    toys.row("toy", error=0.1)
    (row,) = read_register(toys.root / "fixtures/register")
    assert (row.id, row.subjects, row.error, row.kind, row.float64) == ("toy-shift", ("toy",), 0.1, "defect", None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "defect"', 'kind = "feature"', "kind = 'feature': Input should be 'defect', 'decision' or 'limit'"),
        ('subjects = ["toy"]', "subjects = []", "a row has at least one subject"),
        ("error = 0.1", "error = 0", "error and scale are positive numbers"),
        ('">=1"', '"newer"', "'newer' is no version specifier for pytest"),
        ('{ pytest = ">=1" }', "{}", "applies_to names at least one package"),
        ("cause =", "couse =", "Did you mean 'cause'?"),
    ],
)
def test_a_wrong_row_is_refused(toys, old, new, said):
    toys.row("toy", error=0.1, **{old: new})
    with pytest.raises(SpecError, match=re.escape(said)):
        read_register(toys.root / "fixtures/register")


def test_two_rows_with_one_id_are_refused(toys):
    file = toys.row("toy", error=0.1)
    file.write_text(file.read_text() * 2)
    with pytest.raises(SpecError, match="the id 'toy-shift' is taken already"):
        read_register(file.parent)


def test_a_row_holds_where_all_its_versions_do(toys):
    toys.row("toy", error=0.1, **{'">=1"': '">=4.57,<5", jax = "<0.10"'})
    (row,) = read_register(toys.root / "fixtures/register")
    assert applies(row, {"pytest": "4.57.6", "jax": "0.9.2"})
    assert not applies(row, {"pytest": "5.0.0", "jax": "0.9.2"})
    assert not applies(row, {"pytest": "4.57.6"})
    assert rows_for("other", [row]) == ()


def test_rows_cover_up_to_twice_their_error(toys):
    toys.row("toy", error=0.1)
    rows = read_register(toys.root / "fixtures/register")
    assert covered(0.2, rows)
    assert not covered(0.21, rows)
    assert not covered(0.0, ())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_proof_and_the_subjects_of_every_row_exist(row):
    file, _, test = row.proof.partition("::")
    assert f"def {test.partition('[')[0]}(" in (REPOSITORY.root / file).read_text()
    for subject in row.subjects:
        # What is no case: the suites of these areas hold that each subject is claimed.
        assert row.area in ELSEWHERE or (REPOSITORY.cases / f"{subject}.toml").exists()


@pytest.mark.parametrize("row", [row for row in ROWS if applies(row)], ids=lambda row: row.id)
def test_the_place_of_every_row_exists_in_the_installed_version(row):
    name, _, line = row.where.partition(":")
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None
    lines = (Path(spec.origin).parent / rest).read_text().splitlines()
    assert 0 < int(line) <= len(lines)
