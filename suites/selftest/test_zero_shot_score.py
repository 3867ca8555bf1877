"""The zero-shot engine on a model in NumPy: scores by brute force, and faults that must be seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RunError, SpecError
from harness.zeroshot import score as scoring
from harness.zeroshot import tokens, trie
from harness.zeroshot.accuracy import accuracy
from harness.zeroshot.example import Example
from harness.zeroshot.score import plan, run, score
from harness.zeroshot.tokens import Request, requests_of
from harness.zeroshot.way import TOLERANCE, choose_way
from suites.selftest.zero_shot_toy import (
    TASK,
    Toy,
    Words,
    by_hand,
    every_token_of_the_row,
    one_later,
    padding_too,
    running_positions,
)


def off(model=None, examples=TASK, tokenizer=None, **options):
    """By how much the engine's log-likelihoods differ from those by hand, at most."""
    found = {each.id: each for each in score(model or Toy(), tokenizer or Words(), examples, **options)}
    assert set(found) == {each.id for each in examples}
    pairs = [(found[each.id].log_likelihoods, by_hand(each)) for each in examples]
    return max(abs(one - other) for pair in pairs for one, other in zip(*pair, strict=True))


@pytest.mark.parametrize("way", ["tree", "plain", None])
@pytest.mark.parametrize("batch", [1, 7, 16, 1000])
def test_scores_are_those_by_hand(way, batch):
    assert off(way=way, batch=batch) < 1e-12
    assert off(way=way, batch=batch, examples=TASK[::-1]) < 1e-12


def test_a_tree_runs_every_beginning_once():
    model = Toy(context=None)
    planned = plan(model, Words(), TASK, way="tree")
    model.calls.clear()
    list(run(planned))
    paths = {
        each.tokens[:end] for several in planned.requests for each in several for end in range(1, len(each.tokens))
    }
    assert sum(call.valid.sum() for call in model.calls) == len(paths)


@pytest.mark.parametrize("fault", [every_token_of_the_row, running_positions, padding_too])
def test_a_model_that_mistakes_a_tree_is_asked_otherwise(fault):
    """A sibling seen, positions not begun anew, padding attended to: the proof sees it, and a demand fails."""
    tree_alone = lambda rows: rows if rows.seen is None else fault(rows)  # noqa: E731
    planned = plan(Toy(tree_alone), Words(), TASK)
    assert planned.chosen.way == "plain"
    assert planned.chosen.refused[0].startswith("tree: moves a log-likelihood by")
    assert off(Toy(tree_alone)) < 1e-12
    with pytest.raises(RunError, match="tree: moves a log-likelihood by"):
        plan(Toy(tree_alone), Words(), TASK, way="tree")


def test_a_model_that_always_attends_to_padding_is_told():
    chosen = plan(Toy(padding_too), Words(), TASK).chosen
    assert chosen.way == "plain"
    assert chosen.error > TOLERANCE
    assert "padding and batches move a log-likelihood" in chosen.warnings[0]
    assert off(Toy(padding_too)) > TOLERANCE


def test_a_model_that_raises_on_a_tree_is_asked_otherwise():
    def refuse(rows):
        if rows.seen is not None:
            raise ValueError("want a mask of two axes")
        return rows

    assert plan(Toy(refuse), Words(), TASK).chosen.refused == ("tree: ValueError: want a mask of two axes",)


def test_no_number_is_no_score():
    class Broken(Toy):
        def log_probabilities(self, rows):
            return np.full(len(rows.row), np.nan)

    with pytest.raises(RunError, match="gives no sound scores"):
        plan(Broken(), Words(), TASK)


def test_a_target_one_off_is_seen():
    assert off(Toy(one_later)) > TOLERANCE


def test_prompt_tokens_scored_too_are_seen(monkeypatch):
    def shifted(*arguments, **options):
        made = requests_of(*arguments, **options)
        return [[Request(each.tokens[:1], each.tokens[1:]) for each in several] for several in made]

    monkeypatch.setattr(scoring, "requests_of", shifted)
    assert off() > TOLERANCE


def test_a_mean_for_a_sum_is_seen(monkeypatch):
    def mean(rows, found):
        counts = {number: len(places) for row in rows for number, places in row.requests.items()}
        return {number: total / counts[number] for number, total in trie.sums(rows, found).items()}

    monkeypatch.setattr(scoring, "sums", mean)
    assert off() > TOLERANCE


def test_a_beginning_that_stands_twice_is_seen(monkeypatch):
    monkeypatch.setattr(tokens, "_front", lambda tokenizer, bos: (0, 0))
    assert off() > TOLERANCE


def test_a_decision_over_the_wrong_axis_is_seen(monkeypatch):
    scored = list(score(Toy(), Words(), TASK))
    by_id = {each.id: each for each in TASK}
    wanted = sum(int(np.argmax(by_hand(by_id[each.id]))) == each.target for each in scored) / len(scored)
    assert accuracy(scored).accuracy == wanted
    wrong = lambda each, _normalisation: int(np.argmax([other.log_likelihoods[0] for other in scored]))  # noqa: E731
    monkeypatch.setattr("harness.zeroshot.accuracy.decide", wrong)
    assert accuracy(scored).accuracy != wanted


@pytest.mark.parametrize(
    ("tokenizer", "bos", "before"),
    [
        (Words(prefix=(0,)), "tokenizer", (0, 1, 2)),
        (Words(prefix=()), "tokenizer", (1, 2)),
        (Words(prefix=()), "add", (0, 1, 2)),
        (Words(prefix=(0,)), "add", (0, 1, 2)),
        (Words(prefix=(0,)), "none", (1, 2)),
    ],
)
def test_what_begins_a_text(tokenizer, bos, before):
    example = Example("1", "the nurse", (" was", " thanked"), 0)
    assert requests_of([example], tokenizer, bos=bos)[0][0] == Request(before, (8,))


def test_a_beginning_that_the_prompt_has_is_not_put_there_again():
    example = Example("1", "<s> the nurse", (" was", " thanked"), 0)
    assert requests_of([example], Words())[0][0].before == (0, 1, 2)


def test_before_an_empty_prompt_stands_the_beginning_in_any_case():
    example = Example("1", "", ("the nurse", "<s> the clerk"), 0)
    assert requests_of([example], Words(), bos="none")[0] == [Request((0,), (1, 2)), Request((0,), (1, 3))]
    with pytest.raises(SpecError, match="no token that begins a text"):
        requests_of([example], Words(prefix=(), begin=None))


def test_spaces_at_the_end_of_a_prompt_are_the_completion_s():
    class Letters(Words):
        def encode(self, texts):
            return [[ord(letter) for letter in text] for text in texts]

    made = requests_of([Example("1", "ab  ", ("c", "d"), 0)], Letters(prefix=()))[0][0]
    assert made == Request((97, 98), (32, 32, 99))


def test_an_option_without_a_token_is_refused():
    with pytest.raises(SpecError, match="example '7': option ' ' adds no token to the prompt"):
        requests_of([Example("7", "the", (" ", " nurse"), 0)], Words())


def test_what_is_wrong_is_said():
    with pytest.raises(SpecError, match="there is no example"):
        plan(Toy(), Words(), [])
    with pytest.raises(SpecError, match=r"batch = 0: want tokens in a call"):
        plan(Toy(), Words(), TASK, batch=0)
    with pytest.raises(SpecError, match="way 'prefix': a toy cannot be asked so; it can be asked by tree, plain"):
        plan(Toy(), Words(), TASK, way="prefix")
    long = Example("8", "the nurse " * 20, (" was", " thanked"), 0)
    with pytest.raises(SpecError, match="example '8': 41 tokens, where a toy takes 32"):
        plan(Toy(), Words(), [long])


SEQUENCES = st.lists(st.integers(0, 2), min_size=1, max_size=5)


@given(st.lists(st.tuples(SEQUENCES, SEQUENCES), min_size=1, max_size=12), st.integers(1, 20))
def test_every_path_of_a_tree_is_its_request(pairs, length):
    requests = [Request(tuple(before), tuple(completion)) for before, completion in pairs]
    rows = list(trie.rows_of(requests, range(len(requests)), way="tree", length=length))
    assert sorted(number for row in rows for number in row.requests) == list(range(len(requests)))
    for row in rows:
        seen, positions, asked = row.seen(), row.positions(), list(row.asked)
        assert len(row.requests) == 1 or len(row.tokens) <= length
        for number, places in row.requests.items():
            edges = [asked[place] for place in places]
            assert tuple(token for _, token in edges) == requests[number].completion
            path = np.flatnonzero(seen[edges[-1][0]])
            assert tuple(row.tokens[column] for column in path) == requests[number].tokens[:-1]
            assert list(positions[path]) == list(range(len(path)))


def test_the_proof_pads_and_branches():
    model = Toy()
    choose_way(model, requests_of(TASK, Words()))
    tree = next(call for call in model.calls if call.seen is not None)
    assert not tree.valid.all()
    assert (tree.positions[0, 1:] <= tree.positions[0, :-1]).any()
