"""Every pair of tokenizers: the same ids, texts and offsets, but for registered causes, each proved."""

import pytest

from harness.register import read_register
from harness.tokenizers.pairs import check_pair, corrections
from harness.tokenizers.texts import NOT_UNICODE
from suites.tokenizers.conftest import PAIRS, REPOSITORY

FEW, MANY = 300, 5_000
"""Texts that are drawn: on every run, for a suite of a minute; and with --run-slow."""

ROWS = [row for row in read_register(REPOSITORY.register) if row.area == "tokenizers"]


def test_pair_agrees(pair, made, tokens):
    from harness.tokenizers.outcome import outcomes

    tokens.all(outcomes(pair, check_pair(pair, REPOSITORY, count=FEW, made=made)))


@pytest.mark.slow
def test_pair_agrees_on_many_texts(pair, made, tokens):
    from harness.tokenizers.outcome import outcomes

    tokens.all(outcomes(pair, check_pair(pair, REPOSITORY, count=MANY, made=made)))


def test_cause_is_proved(pair, made):
    """With all corrections the examples of every cause agree; without its own at least one of them differs."""
    from harness.tokenizers.group import Corrected

    both = Corrected(*made, corrections(pair, REPOSITORY))
    names = [cause.name for cause in pair.causes]
    for cause in pair.causes:
        examples = cause.examples or NOT_UNICODE
        others = [name for name in names if name != cause.name]
        assert not [text for text in examples if both.differs(text, names)], f"{cause.name}: an example still differs"
        assert [text for text in examples if both.differs(text, others)], (
            f"{cause.name}: all agree without its correction"
        )


def test_every_cause_has_a_row():
    """Every cause of every pair is registered once, and no row names another."""
    known = {f"{pair.name}.{cause.name}" for pair in PAIRS for cause in pair.causes}
    named = [subject.removesuffix(".ordinary") for row in ROWS for subject in row.subjects]
    assert set(named) == known
    every = [subject for row in ROWS for subject in row.subjects]
    assert len(set(every)) == len(every)


def test_no_cause_is_idle():
    from harness.reader import build, load
    from harness.tokenizers.pairs import PairFile

    for file in REPOSITORY.tokenizers.glob("*.toml"):
        held = build(PairFile, load(file), file=file)
        assert {cause.name for cause in held.cause} == {name for table in held.pair for name in table.causes}
