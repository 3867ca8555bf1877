"""Pairs as data: what the files say, what is refused, and how an outcome, a cause and the register go together."""

from pathlib import Path

import pytest

from harness.cases.original import Original
from harness.cases.spec import Factory
from harness.errors import MissingError, SpecError
from harness.parity.compare import Verdict
from harness.register import Row
from harness.settings import Repository, Settings
from harness.tokenizers.check import check_tokenizers
from harness.tokenizers.group import Correction
from harness.tokenizers.outcome import outcomes
from harness.tokenizers.pairs import Cause, Pair, PairTable, check_pair, in_alphabet, read_pairs, seldom, sides
from harness.tokenizers.side import Side, side
from harness.tokenizers.texts import ORDINARY, Text
from suites.selftest.toy_tokenizer import Toy

ROOT = Path(__file__).parents[2]
REPOSITORY = Repository(root=ROOT, settings=Settings())
TOY = Factory(factory="suites.selftest.toy_tokenizer:Toy")
FILE = """
[original]
package = "pytest"
version = "1"
licence = "MIT"

[[cause]]
name = "digits"
correction = "somewhere:mended"
says = "digits are joined"
examples = ["11"]

[[pair]]
name = "toy"
title = "A toy"
reference = { factory = "a:b" }
port = { factory = "a:c" }
causes = ["digits"]
"""


def pair(*names, port=TOY, version=None):
    import importlib.metadata

    causes = tuple(Cause(name=name, correction="a:b", says=f"{name} differ", examples=("11",)) for name in names)
    table = PairTable(name="toy", title="A toy", reference=TOY, port=port, causes=names)
    original = Original(package="pytest", version=version or importlib.metadata.version("pytest"), licence="MIT")
    return Pair(table, original, {}, causes)


def row(*subjects):
    return Row(
        id="digits-joined", area="tokenizers", subjects=subjects, error=1, scale=5, cause="digits", where="x:1",
        proof="y", kind="defect", applies_to={"pytest": ">=8"},
    )  # fmt: skip


def compared(fault, *names, texts=("11", "b")):
    mend = [Correction(name, lambda port: side(Toy())) for name in names]
    given = [Text(ORDINARY if text == "12 apples" else "given", text) for text in texts]
    return check_tokenizers(Toy(), Toy(fault), texts=given, corrections=mend, name="toy")


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.toml").write_text(FILE)
    (found,) = read_pairs(tmp_path)
    assert (found.name, found.original.package) == ("toy", "pytest")
    assert found.causes[0].examples == ("11",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('causes = ["digits"]', 'causes = ["digit"]', r"there is no cause 'digit'.*Did you mean 'digits'"),
        ("title", "titel", r"a.toml:15.*unknown key 'pair.0.titel'"),
        ("causes = ", "decode_every = 3\ncauses = ", r"decode_every is 1, or more with a reason"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, old, new, said):
    (tmp_path / "a.toml").write_text(FILE.replace(old, new))
    with pytest.raises(SpecError, match=said):
        read_pairs(tmp_path)


def test_two_pairs_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.toml").write_text(FILE)
    (tmp_path / "b.toml").write_text(FILE)
    with pytest.raises(SpecError, match="the pair 'toy' is there already"):
        read_pairs(tmp_path)


def test_a_missing_original_says_what_to_install():
    absent = Pair(pair().table, Original(package="no-such-thing", version="1.0", licence="MIT"), {}, ())
    with pytest.raises(MissingError, match="needs no-such-thing 1.0, which is not installed"):
        sides(absent, REPOSITORY)


def test_a_pair_is_built_and_compared():
    found = check_pair(pair(), REPOSITORY, count=50)
    assert found.verdict is Verdict.AGREE
    assert found.ordinary > 50


def test_the_rest_agrees_where_every_text_has_a_cause():
    rest, digits = outcomes(pair("digits"), compared("joins digits", "digits"))
    assert (rest.subject, rest.verdict, rest.differing) == ("toy.texts", Verdict.AGREE, 0)
    assert (digits.subject, digits.verdict, digits.differing) == ("toy.digits", Verdict.DIVERGE, 1)
    assert digits.registered([row("toy.digits")]) == ("digits-joined",)
    assert "'11'" in str(digits)
    assert rest.to_dict()["tokenizers"]["differing"] == 1


def test_a_text_without_a_cause_fails_whatever_is_registered():
    rest, digits = outcomes(pair("digits"), compared("joins digits"))
    assert (rest.verdict, rest.differing) == (Verdict.DIVERGE, 1)
    assert "differ for no known cause" in rest.reason
    assert rest.registered([row("toy.texts")]) == ()
    assert digits.verdict is Verdict.AGREE


def test_ordinary_text_needs_a_row_of_its_own():
    found = outcomes(pair("digits"), compared("joins digits", "digits", texts=("12 apples",)))
    assert [each.subject for each in found] == ["toy.texts", "toy.digits", "toy.digits.ordinary"]
    assert found[2].verdict is Verdict.DIVERGE
    assert (found[2].differing, found[2].of) == (1, 1)


def test_nothing_compared_is_inconclusive_and_cannot_be_registered():
    def refuses(text):
        raise ValueError

    nothing = check_tokenizers(refuses, refuses, texts=["a"])
    (rest,) = outcomes(pair(), nothing)
    assert rest.verdict is Verdict.INCONCLUSIVE
    assert rest.registered([row("toy.texts")]) == ()


def test_texts_in_an_alphabet():
    assert in_alphabet(Text("any", "a b"), "XY").text == "Y X"
    assert in_alphabet(Text("special", "<s>"), "XY").text == "<s>"
    assert in_alphabet(Text("any", "a b"), "").text == "a b"


def test_decoding_now_and_then_asks_for_the_same_ids_of_both():
    made = seldom(Side("x", list, decode=str), 2)
    assert made.decode([1, 1]) == "[1, 1]"
    assert made.decode([1]) is None
    assert seldom(made, 1) is made


def test_the_fixture_fails_without_a_row_and_is_expected_to_fail_with_one(toys):
    test = """
from suites.selftest.test_pairs_of_tokenizers import compared, pair
from harness.tokenizers.outcome import outcomes

def test_it(tokens):
    tokens.all(outcomes(pair("digits"), compared("joins digits", "digits")))
"""
    toys.write("test_it.py", test)
    toys.pytest("test_it.py").assert_outcomes(failed=1)
    register = "\n".join(
        [
            "[[row]]", 'id = "x"', 'area = "tokenizers"', 'subjects = ["toy.digits"]', "error = 1", "scale = 2",
            'cause = "digits"', 'where = "a:1"', 'proof = "b"', 'kind = "defect"', 'applies_to = { pytest = ">=8" }',
        ]
    )  # fmt: skip
    toys.write("fixtures/register/toy.toml", register)
    toys.pytest("test_it.py").assert_outcomes(xfailed=1)
