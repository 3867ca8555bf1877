"""Zero-shot results: two models on the same examples, a family of them, and the samples of lm-evaluation-harness."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.zeroshot.accuracy import accuracy
from harness.zeroshot.example import Example
from harness.zeroshot.family import family
from harness.zeroshot.lm_eval import agreement, read_samples
from harness.zeroshot.paired import paired, sign_test
from harness.zeroshot.scored import Scored
from harness.zeroshot.size import Size
from suites.selftest.zero_shot_runs import scores


class TestPaired:
    def test_the_four_counts_and_the_difference(self) -> None:
        first = scores(True, True, True, False, False, False)
        second = scores(True, False, False, True, False, False)
        found = paired(first, second)
        assert (found.both, found.first_alone, found.second_alone, found.neither) == (1, 2, 1, 2)
        assert found.difference == pytest.approx(-1 / 6)
        assert found.difference == pytest.approx(accuracy(second).accuracy - accuracy(first).accuracy)

    def test_the_order_does_not_matter(self) -> None:
        first, second = scores(True, False, True), scores(False, False, True)
        assert paired(first, second) == paired(first, second[::-1])

    @pytest.mark.parametrize(
        ("one", "other", "p"), [(0, 0, 1.0), (0, 5, 0.0625), (2, 10, 158 / 4096), (700, 860, 5.603339e-5)]
    )
    def test_the_p_of_fair_coins(self, one: int, other: int, p: float) -> None:
        assert sign_test(one, other) == sign_test(other, one) == pytest.approx(p, rel=1e-6)

    def test_planted_unpaired_significance_would_say_otherwise(self) -> None:
        """200 examples, of which 12 turn from wrong to right and one the other way: chance alone rarely does that."""
        first = scores(*[True] * 99, *[False] * 100, True)
        second = scores(*[True] * 99, *[False] * 88, *[True] * 12, False)
        shares = [accuracy(each).accuracy for each in (first, second)]
        both = sum(shares) / 2
        unpaired = math.erfc(abs(shares[1] - shares[0]) / math.sqrt(2 * both * (1 - both) / 200) / math.sqrt(2))
        assert unpaired > 0.2
        assert paired(first, second).p == pytest.approx(28 / 8192, abs=1e-12)

    @pytest.mark.parametrize(
        ("first", "second", "message"),
        [
            ((), (), "there is no example"),
            (scores(True, True), scores(True), "1 examples are in one of the two alone: '1'"),
            (scores(True) * 2, scores(True), "an id stands twice"),
            (scores(True), scores(True, start=1), "'0', '1'"),
            (scores(True), (Scored("0", 1, (-1.0, -2.0), (1, 1), (1, 1), (1, 1)),), "has target 0 in one and 1 in the"),
        ],
    )
    def test_what_is_not_the_same_examples_is_refused(self, first, second, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            paired(first, second)


class TestFamily:
    SIZES = {"small": Size(10, 20), "middle": Size(20, 40), "large": Size(30, 60)}  # noqa: RUF012

    def test_inverse_scaling_is_said(self) -> None:
        scored = {
            "large": scores(*[False] * 30, *[True] * 20),
            "small": scores(*[True] * 50),
            "middle": scores(*[True] * 35, *[False] * 15),
        }
        found = family("task", scored, self.SIZES)
        assert [each.name for each in found.members] == ["small", "middle", "large"]
        assert found.trend.startswith(
            "inverse scaling, accuracy falls with size: small 100.0%, large 40.0%, p = 1.9e-09"
        )

    def test_growth_and_chance_are_said(self) -> None:
        chance = {"small": scores(True, False, True), "large": scores(True, True, True)}
        assert family("task", chance, self.SIZES).trend.startswith("no trend that chance does not explain")
        growth = {"small": scores(*[False] * 9), "large": scores(*[True] * 9)}
        assert family("task", growth, self.SIZES).trend.startswith("accuracy grows with size")

    def test_the_interval_is_wilsons(self) -> None:
        """Wald's interval of 60 right of 60 has no width, which planted here would pass for certainty."""
        found = family("task", {"small": scores(*[True] * 60), "large": scores(*[False] * 60)}, self.SIZES)
        first, last = (each.to_dict() for each in found.members)
        assert (first["low"], first["high"]) == (pytest.approx(0.93983, abs=1e-5), pytest.approx(1.0))
        assert (last["low"], last["high"]) == (pytest.approx(0.0), pytest.approx(0.06017, abs=1e-5))

    def test_one_model_or_one_size_is_no_family(self) -> None:
        with pytest.raises(SpecError, match="1 models"):
            family("task", {"small": scores(True)}, self.SIZES)
        with pytest.raises(SpecError, match="of one size"):
            family("task", {"a": scores(True), "b": scores(True)}, {"a": Size(1, 1), "b": Size(1, 1)})


EXAMPLES = (
    Example("0", "The sky is", (" blue.", " green."), 0),
    Example("1", "Snow is", (" black.", " white."), 1),
)
SCORED = (
    Scored("0", 0, (-3.25, -7.5), (2, 2), (6, 7), (6, 7)),
    Scored("1", 1, (-6.0, -4.125), (2, 2), (7, 7), (7, 7)),
)


def sample(example: Example, values: tuple[float, ...], **changes: object) -> dict[str, object]:
    """A line as lm-evaluation-harness 0.4 writes it: numbers as strings, arguments by name."""
    answers = [[str(value), "False"] for value in values]
    return {
        "doc_id": int(example.id),
        "doc": {"text": example.prompt},
        "target": str(example.target),
        "arguments": {
            f"gen_args_{n}": {"arg_0": example.prompt, "arg_1": option} for n, option in enumerate(example.options)
        },
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc"],
        "acc": 1.0,
    } | changes


def samples_file(folder: Path, *lines: object) -> Path:
    file = folder / "samples_task_2026-01-01T00-00-00.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


class TestSamples:
    def test_the_same_is_the_same(self, tmp_path: Path) -> None:
        lines = [sample(example, each.log_likelihoods) for example, each in zip(EXAMPLES, SCORED)][::-1]
        found = agreement(read_samples(samples_file(tmp_path, *lines)), EXAMPLES, SCORED)
        assert (found.examples, found.decisions, found.targets, found.error, found.same) == (2, 2, 2, 0.0, True)

    def test_a_blank_before_the_option_may_stand_on_either_side(self, tmp_path: Path) -> None:
        moved = {"gen_args_0": ["The sky is ", "blue."], "gen_args_1": ["The sky is ", "green."]}
        found = agreement(
            read_samples(samples_file(tmp_path, sample(EXAMPLES[0], (-3.25, -7.5), arguments=moved))), EXAMPLES, SCORED
        )
        assert (found.examples, found.ours_alone, found.same) == (1, 1, False)

    @pytest.mark.parametrize(
        ("planted", "shows"),
        [
            ({"values": (-7.5, -3.25)}, "decisions"),
            ({"values": (-3.25, -7.501)}, "error"),
            ({"target": "1"}, "targets"),
        ],
    )
    def test_a_planted_difference_is_found(self, planted: dict[str, object], shows: str, tmp_path: Path) -> None:
        planted = dict(planted)
        values = planted.pop("values", (-3.25, -7.5))
        lines = [sample(EXAMPLES[0], values, **planted), sample(EXAMPLES[1], SCORED[1].log_likelihoods)]
        found = agreement(read_samples(samples_file(tmp_path, *lines)), EXAMPLES, SCORED)
        assert not found.same
        assert found.decisions == (1 if shows == "decisions" else 2)
        assert found.targets == (1 if shows == "targets" else 2)
        assert (found.error > 2e-4, found.worst) == ((True, "0") if shows != "targets" else (False, ""))

    def test_equal_questions_are_each_met_once(self, tmp_path: Path) -> None:
        twice = (EXAMPLES[0], Example("2", "The sky is", (" blue.", " green."), 0))
        scored = (SCORED[0], Scored("2", 0, (-3.25, -7.5), (2, 2), (6, 7), (6, 7)))
        line = sample(EXAMPLES[0], (-3.25, -7.5))
        found = agreement(read_samples(samples_file(tmp_path, line, line)), twice, scored)
        assert (found.examples, found.theirs_alone, found.ours_alone) == (2, 0, 0)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ({"id": "1", "target": 0}, r"jsonl:1: no sample of lm-eval: it has no 'arguments'"),
            (sample(EXAMPLES[0], (-1.0,)), r"jsonl:1: 1 answers to 2 requests"),
            (sample(EXAMPLES[0], (-1.0, math.nan)), r"jsonl:1: no multiple-choice sample of lm-eval: log-likelihoods"),
            (sample(EXAMPLES[0], (1, 2), filtered_resps=["a text", "b"]), r"no multiple-choice sample"),
            (sample(EXAMPLES[0], (1, 2), arguments={"gen_args_0": {"arg_0": "x", "arg_1": {"until": []}}}),
             r"not a prompt and a completion"),
            ([1], r"no multiple-choice sample"),
        ],
    )  # fmt: skip
    def test_another_schema_is_refused_with_its_line(self, line: object, message: str, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=message):
            read_samples(samples_file(tmp_path, line))

    def test_an_empty_or_absent_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="holds no sample"):
            read_samples(samples_file(tmp_path))
        with pytest.raises(SpecError, match="no such file"):
            read_samples(tmp_path / "absent.jsonl")

    def test_nothing_in_common_is_refused(self, tmp_path: Path) -> None:
        other = Example("0", "Grass is", (" blue.", " green."), 1)
        samples = read_samples(samples_file(tmp_path, sample(other, (-1.0, -2.0))))
        with pytest.raises(SpecError, match=r"none of 1 samples .*'Grass is blue\.'"):
            agreement(samples, EXAMPLES, SCORED)
