"""Two tokenizers compared: planted faults are found, made short and put down to their cause."""

import dataclasses
import unicodedata

import pytest

import harness
from harness.errors import MissingError, SpecError
from harness.parity.compare import Verdict
from harness.tokenizers.check import check_tokenizers
from harness.tokenizers.comparison import escaped, named
from harness.tokenizers.group import Correction, shape
from harness.tokenizers.shrink import shrink
from harness.tokenizers.side import Side, side
from harness.tokenizers.texts import EDGES, LONG, NOT_UNICODE, ORDINARY, Text, drawn, ordinary
from suites.selftest.toy_tokenizer import FAULTS, Toy

COUNT = 300

SHORTEST = {
    "drops a leading space": " ",
    "joins digits": "11",
    "splits literals": "<s>",
    "cleans up spaces": " .",
}
"""What a fault's shortest text is; of the others it depends on which letter was drawn."""

ASPECTS = {"counts bytes": ("offsets",), "cleans up spaces": ("decode",)}


def mended(fault):
    """The toy without its fault."""
    return Correction(fault, lambda port: side(Toy()))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_made_short(fault):
    found = check_tokenizers(Toy(), Toy(fault), count=COUNT, corrections=[mended(fault)])
    assert found.verdict is Verdict.DIVERGE
    (group,) = found.groups
    assert group.causes == (fault,)
    assert group.texts == len(found.differences)
    assert len(group.shortest.text) <= 3
    assert group.shortest.text == SHORTEST.get(fault, group.shortest.text)
    if fault in ASPECTS:
        assert group.shortest.aspects == ASPECTS[fault]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_no_correction_explains_is_unexplained(fault):
    other = FAULTS[FAULTS.index(fault) - 1]
    found = check_tokenizers(Toy(), Toy(fault), count=COUNT, corrections=[Correction(other, lambda port: port)])
    assert found.groups
    assert not any(group.causes for group in found.groups)
    assert "unexplained" in str(found)


def test_the_toy_agrees_with_itself():
    found = check_tokenizers(Toy(), Toy(), count=COUNT)
    assert found.verdict is Verdict.AGREE
    assert found.reason == ""
    assert found.compared["ids"] == found.texts
    assert found.compared["offsets"] == found.texts
    assert found.returned[0] == found.returned[1] > 0
    assert found.groups == found.differences == ()


def test_two_faults_are_told_apart():
    """A text that shows both is put down to both, one that shows one to that one."""

    def numbers(text):
        return [ord(sign) for sign in text]

    def faulty(text):
        return numbers(text.removeprefix(" ").replace("11", "J"))

    def space_kept(port):
        return dataclasses.replace(port, encode=lambda text: numbers(text[: text.startswith(" ")]) + port.encode(text))

    def digits_cut(port):
        def encode(text):
            return [number for one in port.encode(text) for number in ([49, 49] if one == ord("J") else [one])]

        return dataclasses.replace(port, encode=encode)

    both = [Correction("space", space_kept), Correction("digits", digits_cut)]
    found = check_tokenizers(numbers, faulty, texts=[" a", "11", "b", " 11"], corrections=both)
    by_text = {each.text: each.causes for each in found.differences}
    assert by_text == {" a": ("space",), "11": ("digits",), " 11": ("space", "digits")}


def test_causes_of_one_text_are_all_needed():
    one = Correction("one", lambda port: dataclasses.replace(port, encode=lambda text: port.encode(text)[1:]))
    two = Correction("two", lambda port: dataclasses.replace(port, encode=lambda text: port.encode(text)[1:]))
    idle = Correction("idle", lambda port: port)
    found = check_tokenizers(lambda text: [1], lambda text: [7, 7, 1], texts=["x"], corrections=[idle, one, two])
    assert found.groups[0].causes == ("one", "two")


def test_a_correction_of_the_reference():
    mend = Correction("wrong original", lambda reference: side(Toy()), of="reference")
    found = check_tokenizers(Toy("does not lower"), Toy(), texts=["A"], corrections=[mend])
    assert found.groups[0].causes == ("wrong original",)


def test_what_is_printed():
    text = str(check_tokenizers(Toy(), Toy("does not compose"), texts=["xa\u0301"], name="toy"))
    assert text.splitlines() == [
        "toy: DIVERGE",
        "  reference   Toy",
        "  port        Toy",
        "  why         1 of 1 texts differ",
        "  compared    ids of 1, decode of 1, round trip of 1, offsets of 0",
        "  unexplained ids of Ll Mn: 1 texts",
        "  text        'a\\u0301'  U+0061 LATIN SMALL LETTER A, U+0301 COMBINING ACUTE ACCENT",
        f"  ids         {Toy().encode('á')} in the reference",
        f"              {Toy().encode('a') + Toy('does not compose').encode(chr(0x301))} in the port",
        "  decode      'á' in the reference",
        "              '?' in the port",
    ]


def test_ordinary_text_is_counted():
    found = check_tokenizers(Toy(), Toy("does not lower"), count=100)
    assert found.groups[0].ordinary > 0
    assert "of them ordinary" in found.reason


def test_nothing_compared_is_inconclusive():
    def refuses(text):
        raise ValueError("no")

    found = check_tokenizers(refuses, refuses, texts=["a"])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.refused == 1
    assert "none was tokenized by both sides" in found.reason


def test_one_side_that_refuses_differs():
    def refuses(text):
        raise KeyError(text)

    found = check_tokenizers(Toy(), refuses, texts=["a"])
    assert found.verdict is Verdict.DIVERGE
    assert "refused (KeyError: '') in the port" in str(found)


def test_a_panic_is_a_refusal_and_an_interrupt_is_not():
    class Panic(BaseException):
        pass

    def panics(text):
        raise Panic

    def interrupted(text):
        raise KeyboardInterrupt

    assert check_tokenizers(Toy(), panics, texts=["a"]).verdict is Verdict.DIVERGE
    with pytest.raises(KeyboardInterrupt):
        check_tokenizers(Toy(), interrupted, texts=["a"])


def test_a_round_trip_that_the_port_alone_misses():
    def known(text):
        return list(text.encode())

    def decode(ids):
        return bytes(ids).decode(errors="replace")

    found = check_tokenizers((known, decode), (lambda text: known(text.strip()), decode), texts=["a "])
    assert found.differences[0].aspects == ("ids", "round trip")
    assert found.returned == (1, 0)


def test_no_text_and_no_tokenizer_are_refused():
    with pytest.raises(SpecError, match="there is no text to compare on"):
        check_tokenizers(Toy(), Toy(), texts=[])
    with pytest.raises(SpecError, match="has no method `encode`"):
        check_tokenizers(Toy(), 3, texts=["a"])
    with pytest.raises(SpecError, match="two corrections share a name"):
        check_tokenizers(Toy(), Toy(), texts=["a"], corrections=[mended("x"), mended("x")])
    with pytest.raises(SpecError, match="0 were asked for"):
        drawn(0)


def test_hypothesis_is_asked_for_where_texts_are_drawn(monkeypatch):
    import harness.tokenizers.texts as texts

    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(texts, "version", absent)
    texts.templates.cache_clear()
    with pytest.raises(MissingError, match=r"hypothesis.*pip install 'parity-harness\[tokenizers\]'"):
        drawn(10)
    assert check_tokenizers(Toy(), Toy(), texts=["a"]).verdict is Verdict.AGREE


class TestTexts:
    def test_they_are_the_same_again_and_no_two_alike(self):
        first = drawn(COUNT, seed=3)
        assert first == drawn(COUNT, seed=3)
        assert len({each.text for each in first}) == COUNT
        assert first != drawn(COUNT, seed=4)

    def test_every_kind_is_there(self):
        texts = drawn(COUNT, literals=["<special>"])
        kinds = {each.kind for each in texts}
        assert {"edge", "surrogate", "any", "mark", "emoji", "unassigned", "space", "control", "long"} <= kinds
        assert {*EDGES, *NOT_UNICODE} <= {each.text for each in texts}
        assert any("<special>" in each.text for each in texts)
        assert any(unicodedata.category(sign) == "Cn" for each in texts for sign in each.text)
        assert max(len(each.text) for each in texts) > LONG / 2

    def test_the_ordinary_ones_are_of_many_scripts(self):
        scripts = {unicodedata.name(sign).split()[0] for each in ordinary() for sign in each.text if sign.isalpha()}
        assert {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "DEVANAGARI", "THAI", "HANGUL", "CJK"} <= scripts
        assert {each.kind for each in ordinary()} == {ORDINARY}
        assert any("\n" in each.text for each in ordinary())


class TestShrink:
    def test_what_is_not_needed_goes(self):
        assert shrink("some words İ and more", lambda text: "İ" in text) == "İ"
        assert shrink("x" * 3000, lambda text: len(text) > 7) == "a" * 8

    def test_it_is_the_same_again(self):
        def holds(text):
            return "q" in text and text.count("z") >= 2

        assert shrink("azbqczdz", holds) == shrink("azbqczdz", holds) == "qzz"

    def test_what_does_not_hold_is_refused(self):
        with pytest.raises(ValueError, match="does not hold"):
            shrink("a", lambda text: False)


class TestWords:
    def test_invisible_signs_are_written_out(self):
        assert escaped("a\u200b\u0301\ud800\n") == "'a\\u200b\\u0301\\ud800\\n'"
        assert escaped("é本😀") == "'é本😀'"
        assert escaped("x" * 100).endswith("and 40 more characters")

    def test_names(self):
        assert named("\ud800") == "U+D800 half a surrogate pair"
        assert named("\u0378") == "U+0378 unassigned"
        assert named("\x1d") == "U+001D control"
        assert named("plain") == ""

    def test_shape(self):
        assert shape("") == "empty"
        assert shape("Ab1 ") == "Lu Ll Nd Zs"


class TestSides:
    def test_functions(self):
        made = side((len, str))
        assert made.encode("ab") == 2
        assert made.decode is str
        assert made.offsets is None

    def test_tokenizers_of_2019(self):
        class Old:
            def tokenize(self, text):
                return text.split()

            def convert_tokens_to_ids(self, tokens):
                return [len(token) for token in tokens]

        assert side(Old()).encode("a bb") == [1, 2]

    def test_a_side_stays_as_it_is(self):
        made = Side("x", len)
        assert side(made) is made

    def test_they_are_public(self):
        assert harness.check_tokenizers is check_tokenizers
        assert harness.Correction is Correction
        assert isinstance(check_tokenizers(Toy(), Toy(), texts=[Text("own", "a")]), harness.TokenizerComparison)


def test_plain_values():
    import json

    document = check_tokenizers(Toy(), Toy("does not lower"), texts=["A", "\ud800A"]).to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["differing"] == 2
    assert document["groups"][0]["shortest"]["text"] == "'A'"
