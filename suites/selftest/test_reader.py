"""A wrong TOML file gets an error with the file, the line, the closest known key, and what to do."""

import pytest

from harness.cases.spec import find_cases, read_case
from harness.errors import SpecError
from harness.settings import find_repository

GOOD = """title = "a toy"

[reference]
factory = "a:b"
[port]
factory = "a:b"
[inputs]
factory = "a:b"
"""


def test_a_right_file_is_read_with_its_defaults(tmp_path):
    (tmp_path / "toy.toml").write_text(GOOD)
    case = read_case(tmp_path / "toy.toml")
    assert (case.name, case.device, case.tolerance.atol, case.mapping) == ("toy", "cpu", 1e-3, {})


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (GOOD + "[tolerance]\natoll = 1e-3\n", 10, "unknown key 'tolerance.atoll'. Did you mean 'atol'?"),
        (GOOD + "[tolerance]\natol = -1.0\n", 9, "atol must be a finite number, zero or above"),
        (GOOD + "[tolerance]\natol = nan\n", 9, "atol must be a finite number, zero or above"),
        (GOOD + '[tolerance]\natol = "small"\n', 10, "tolerance.atol = 'small': Input should be a valid number"),
        (GOOD + "[tolerance]\natol = 0.1\n", 9, "looser than the contract (0.001, absolute): give a reason"),
        (GOOD + "[tolerance]\nrtol = 0.1\n", 9, "looser than the contract"),
        ('divice = "cpu"\n' + GOOD, 1, "unknown key 'divice'. Did you mean 'device'?"),
        ('device = "cuda"\n' + GOOD, 1, "device = 'cuda': Input should be 'cpu', 'gpu' or 'tpu'"),
        ('outputs = "logits"\n' + GOOD, 1, "outputs = 'logits': Input should be a valid array"),
        ('outputs = ["a",\n 1]\n' + GOOD, 1, "outputs.1 = 1: Input should be a valid string"),
        (GOOD.replace('[port]\nfactory = "a:b"\n', ""), None, "key 'port' is missing"),
        (GOOD.replace('"a:b"\n[port]', '"ab"\n[port]'), 3, "want 'module:function'"),
        (GOOD + '[unmatched.prot]\nx = "why"\n', 9, "unknown key 'unmatched.prot'. Did you mean 'port'?"),
        ('name = "x"\n' + GOOD, None, "unknown key 'name'. A case is called as its file is."),
        (GOOD.replace("title", "titel"), 1, "unknown key 'titel'. Did you mean 'title'?"),
        (GOOD + "[broken\n", None, "not TOML"),
        ("valid = 2026-01-01\n" + GOOD, None, "Write dates and times as strings."),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path, text, line, said):
    file = tmp_path / "toy.toml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_case(file)
    assert said in str(caught.value)
    assert caught.value.place == (f"{file}:{line}" if line else str(file))


def test_the_line_is_that_of_the_right_entry_of_an_array_of_tables(tmp_path):
    from harness.register import read_register

    row = '[[row]]\nid = "{}"\narea = "x"\nsubjects = ["x"]\nerror = {}\nscale = 1.0\n'
    row += 'cause = "x"\nwhere = "x"\nproof = "x"\nkind = "defect"\napplies_to = {{ pytest = ">1" }}\n'
    (tmp_path / "rows.toml").write_text(row.format("a", "1.0") + row.format("b", '"big"'))
    with pytest.raises(SpecError, match=r"rows.toml:16: row.1.error = 'big'"):
        read_register(tmp_path)


def test_a_file_that_is_not_text_or_not_there(tmp_path):
    (tmp_path / "toy.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="not UTF-8"):
        read_case(tmp_path / "toy.toml")
    with pytest.raises(SpecError, match="no such file"):
        read_case(tmp_path / "absent.toml")


def test_cases_are_found_by_pattern_and_close_names_offered(toys):
    toys.case("bert-flax")
    toys.case("bert-nnx")
    repository = find_repository(toys.root)
    assert [case.name for case in find_cases(repository, "bert-*")] == ["bert-flax", "bert-nnx"]
    with pytest.raises(SpecError, match="case 'bert-flux': not found in .*Did you mean 'bert-flax'"):
        find_cases(repository, "bert-flux")


def test_settings_are_as_strict(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.harness]\ncasses = "x"\n')
    with pytest.raises(SpecError, match="pyproject.toml:2: unknown key 'tool.harness.casses'. Did you mean 'cases'"):
        find_repository(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.harness.profiles.quick]\nisolated = true\n")
    with pytest.raises(SpecError, match="Did you mean 'isolate'"):
        find_repository(tmp_path)


def test_an_unknown_profile_offers_close_names(tmp_path):
    with pytest.raises(SpecError, match="profile 'quik': not known in .*Did you mean 'quick'"):
        find_repository(tmp_path).profile("quik")
