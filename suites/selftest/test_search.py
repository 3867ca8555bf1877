"""The search over fields set together: what it draws, what it finds, how small, and how that is written down."""

import tomllib
from dataclasses import replace

import pytest

from harness.equivalence import fields
from harness.equivalence.family import Family, Head, Varied
from harness.equivalence.fields import Seen, Side
from harness.equivalence.search import Choice, choices, field_of, known_checks, pasted, runs_of, settings_of, written
from harness.parity.compare import Verdict
from harness.parity.judge import Line
from harness.reader import build
from harness.register import Row
from suites.equivalence.search import search
from suites.equivalence.test_search import outcome_of

NAMES = [f"field_{number}" for number in range(12)]
FAMILY = Family(
    id="toy",
    title="Toy",
    configuration="ToyConfig",
    head=(Head(reference="ToyModel"), Head(reference="ToyForWords", port="FlaxToyWords")),
    fields=dict.fromkeys(NAMES, (2, 3, "four")),
    field=(
        Varied(name="part.width", values=(8,), settings={"part": {"depth": 2}}),
        Varied(name="dropout", values=(0.4,), run="train", settings={"field_0": 1}),
        Varied(name="labels", values=(5,), heads=("ToyForWords",)),
        Varied(name="labels", values=(6,), heads=("ToyForWords",), run="train"),
        Varied(name="start", values=(1,), inputs="text"),
    ),
)


def line(verdict=Verdict.AGREE, error=0.0):
    return Line("fields", "as given", verdict, reason="logits", error=error, scale=2.0)


@pytest.fixture
def planted(monkeypatch):
    """Twins that go wrong where `wrong` says so of their settings; gives the settings they were run with."""
    called = []

    def plant(wrong, refused=lambda settings: False):
        def seen(family, head, settings, *, run="forward", inputs="", seed=0):
            called.append((head.reference, dict(settings)))
            if refused(settings):
                return Seen(Side({}, "ValueError: no"), Side({}, "ValueError: no"), None, frozenset())
            result = wrong(settings)
            return result if isinstance(result, Seen) else Seen(
                Side({}), Side({}), line(Verdict.DIVERGE, 0.5) if result else line(), frozenset()
            )  # fmt: skip

        monkeypatch.setattr(fields, "seen", seen)
        return called

    return plant


def row(subject, **values):
    made = {
        "id": "known", "area": "equivalence", "subjects": (subject,), "field": "x", "error": 1.0, "scale": 1.0,
        "cause": "c", "where": "w", "proof": "p", "kind": "defect", "applies_to": {"pytest": ">=1"},
    }  # fmt: skip
    return Row(**(made | values))


def drawn(found):
    return {choice.name: choice.value for choice in found.drawn}


class TestWhatIsFound:
    @pytest.mark.parametrize("pair", [("field_2", "field_9"), ("field_0", "field_1"), ("field_11", "part.width")])
    def test_a_fault_of_two_fields_together_comes_out_as_exactly_those_two(self, planted, pair):
        planted(
            lambda settings: all(
                fields.nested(settings, name, None) != settings and held(settings, name) for name in pair
            )
        )
        found = search(FAMILY, "forward", (), examples=300).found
        assert set(drawn(found)) == set(pair)
        assert found.head.reference == "ToyModel"
        assert found.why == "off by 0.5 of 2: logits"

    def test_the_smallest_values_come_out(self, planted):
        planted(lambda settings: settings.get("field_3") in (3, "four") and "field_5" in settings)
        assert drawn(search(FAMILY, "forward", (), examples=300).found) == {"field_3": 3, "field_5": 2}

    def test_without_a_fault_nothing_is_found_and_the_examples_are_counted(self, planted):
        called = planted(lambda settings: False)
        searched = search(FAMILY, "forward", (), examples=60)
        assert searched.found is None
        assert searched.tried == searched.compared == len(called) - 2 > 45  # both classes as they stand, before
        assert searched.enough
        assert 1.5 < sum(len(settings) for _, settings in called) / len(called) < 6

    @pytest.mark.parametrize("who", ["reference", "port"])
    def test_an_exception_of_one_side_alone_is_found(self, planted, who):
        sides = {"reference": Side({}), "port": Side({}), who: Side({}, "KeyError: x")}
        planted(lambda settings: Seen(**sides, line=None, read=frozenset()) if "field_4" in settings else False)
        found = search(FAMILY, "forward", (), examples=100).found
        assert (set(drawn(found)), found.why) == ({"field_4"}, f"the {who} alone raised KeyError: x")

    def test_what_both_refuse_is_no_find_yet_a_search_of_nothing_else_is_not_enough(self, planted):
        planted(lambda settings: False, refused=lambda settings: bool(settings))
        searched = search(FAMILY, "forward", (), examples=60)
        assert searched.found is None
        assert not searched.enough

    def test_what_cannot_be_judged_is_no_find(self, planted):
        planted(lambda settings: Seen(Side({}), Side({}), line(Verdict.INCONCLUSIVE), frozenset()))
        assert search(FAMILY, "forward", (), examples=20).found is None

    def test_an_error_of_the_harness_itself_is_not_swallowed(self, monkeypatch):
        monkeypatch.setattr(fields, "seen", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            search(FAMILY, "forward", (), examples=20)

    def test_a_fault_of_the_base_itself_comes_out_with_no_field(self, planted):
        planted(lambda settings: True)
        searched = search(FAMILY, "forward", (), examples=20)
        assert searched.found.drawn == ()
        assert outcome_of(FAMILY, "forward", searched).reason == "the base itself: off by 0.5 of 2: logits"

    @pytest.mark.parametrize(
        ("subject", "run", "left_out"),
        [
            ("toy.ToyForWords.train", "train", True),
            ("toy.ToyForWords.dropout=0.4, field_0=1", "train", True),
            ("toy.ToyForWords.train", "forward", False),
            ("toy.ToyForWords.field_2=3", "forward", False),
            ("toy.ToyModel.train", "train", True),
        ],
    )
    def test_a_class_that_is_known_to_diverge_as_it_stands_is_not_drawn(self, monkeypatch, subject, run, left_out):
        def seen(family, head, settings, **_):
            wrong = head.reference == "ToyForWords"
            return Seen(Side({}), Side({}), line(Verdict.DIVERGE, 0.5) if wrong else line(), frozenset())

        monkeypatch.setattr(fields, "seen", seen)
        searched = search(FAMILY, run, [row(subject)], examples=60)
        found = searched and searched.found
        assert (not found) == left_out
        assert left_out or (found.head.reference, found.drawn) == ("ToyForWords", ())
        elsewhere = row(subject, applies_to={"pytest": "<1"})
        assert search(FAMILY, run, [elsewhere], examples=60).found

    def test_a_class_is_drawn_for_the_runs_that_its_fields_have(self, planted):
        called = planted(lambda settings: False)
        family = replace(FAMILY, field=[each for each in FAMILY.field if each.run == "forward" or not each.heads])
        search(family, "train", (), examples=30)
        assert {reference for reference, _ in called} == {"ToyModel"}

    def test_a_known_divergence_that_chance_hides_ends_the_search_before_it_begins(self, planted):
        called = planted(lambda settings: False)
        assert search(FAMILY, "train", [row("toy.ToyModel.train")], examples=30) is None
        assert not called

    def test_where_no_class_runs_as_it_stands_there_is_no_search(self, planted):
        planted(lambda settings: False, refused=lambda settings: not settings)
        assert search(FAMILY, "train", (), examples=20) is None

    def test_the_same_examples_come_every_time(self, planted):
        called = planted(lambda settings: False)
        search(FAMILY, "forward", (), examples=30)
        first = list(called)
        called.clear()
        search(FAMILY, "forward", (), examples=30)
        assert called == first


class TestWhatIsDrawn:
    def test_what_the_register_knows_is_left_out(self, planted):
        called = planted(lambda settings: settings.get("field_2") == 3 and "field_6" in settings)
        rows = (row("toy.ToyModel.field_2=3"),)
        assert search(FAMILY, "forward", rows, examples=200).found is None
        values = {settings["field_2"] for _, settings in called if "field_2" in settings}
        assert values == {2, "four"}

    def test_what_the_register_knows_of_two_fields_together_is_left_out(self, planted):
        family = replace(
            FAMILY, fields={"a": (1, 2), "b": (1, 2)}, field=(Varied(name="a", values=(3,), settings={"b": 2}),)
        )
        called = planted(lambda settings: settings == {"a": 3, "b": 2})
        assert search(family, "forward", (), examples=200).found.drawn
        called.clear()
        assert search(family, "forward", [row("toy.ToyModel.a=3, b=2")], examples=200).found is None
        assert {"a": 3} not in [settings for _, settings in called]
        assert {"a": 1, "b": 2} in [settings for _, settings in called]

    def test_what_is_written_is_not_searched(self):
        writes = Varied(name="eos_token_id", values=(5,), run="generate")
        assert runs_of(replace(FAMILY, field=(*FAMILY.field, writes))) == ("forward", "train")

    @pytest.mark.parametrize("other", [
        row("toy.ToyModel.field_2=3", area="schedulers"), row("toy.ToyModel.field_2=3", applies_to={"pytest": "<1"}),
        row("toys.ToyModel.field_2=3"), row("toy.ToyModel.to_flax"), row("toy"),
    ])  # fmt: skip
    def test_what_it_knows_of_others_is_drawn(self, other):
        assert len(choices(FAMILY, "forward", known_checks(FAMILY, [other]))["field_2"]) == 3

    def test_a_value_known_on_one_class_is_known_on_all(self):
        known = known_checks(FAMILY, [row("toy.ToyForWords.part.width=8, part={'depth':2}")])
        assert "part.width" not in choices(FAMILY, "forward", known)

    def test_fields_go_with_their_run_and_class_and_inputs(self):
        assert set(choices(FAMILY, "forward", ())) == {*NAMES, "part.width", "labels"}
        assert set(choices(FAMILY, "train", ())) == {*NAMES, "part.width", "dropout", "labels"}

    def test_a_field_that_is_tried_on_one_class_is_set_on_no_other(self, planted):
        called = planted(lambda settings: False)
        search(FAMILY, "forward", (), examples=300)
        assert {head for head, _ in called} == {"ToyModel", "ToyForWords"}
        assert {head for head, settings in called if "labels" in settings} == {"ToyForWords"}

    def test_a_fault_on_one_class_alone_comes_out_on_that_class(self, planted):
        planted(lambda settings: "labels" in settings and "field_1" in settings)
        found = search(FAMILY, "forward", (), examples=400).found
        assert (found.head.reference, set(drawn(found))) == ("ToyForWords", {"labels", "field_1"})
        varied = field_of(FAMILY, found.head, "forward", found.drawn)
        assert 'heads = ["ToyForWords"]' in pasted(varied)

    def test_a_value_that_is_drawn_counts_before_what_goes_with_another(self):
        pair = (Choice("field_0", 2, {}), Choice("dropout", 0.4, {"field_0": 1, "a": 1}))
        assert settings_of(pair) == {"field_0": 2, "a": 1, "dropout": 0.4}


class TestWhatIsWritten:
    def test_the_field_that_is_pasted_says_what_was_run(self, planted):
        planted(lambda settings: "field_7" in settings and held(settings, "part.width"))
        searched = search(FAMILY, "train", (), examples=300)
        varied = field_of(FAMILY, searched.found.head, "train", searched.found.drawn)
        table = tomllib.loads(pasted(varied))
        (again,) = build(Family, {"id": "a", "title": "b", "configuration": "c", "head": [{"reference": "d"}], **table},
                         file=None).field  # fmt: skip
        assert again == varied
        assert fields.nested(again.settings, again.name, again.values[0]) == settings_of(searched.found.drawn)
        assert again.run == "train"

    def test_the_outcome_fails_with_the_field_and_the_command(self, planted):
        planted(lambda settings: "field_2" in settings and "field_9" in settings)
        outcome = outcome_of(FAMILY, "forward", search(FAMILY, "forward", (), examples=300))
        assert (outcome.verdict, outcome.error, outcome.subject) == (
            Verdict.DIVERGE,
            0.5,
            "toy.ToyModel.search forward",
        )
        (note,) = outcome.notes
        assert note == (
            "to repeat it, add this to fixtures/equivalence/families/toy.toml\n\n"
            '[[field]]\nname = "field_9"\nvalues = [2]\nsettings = { field_2 = 2 }\n\n'
            "and run\n\npytest --run-slow 'suites/equivalence/test_fields.py::test_field_is_followed_by_both"
            "[toy.ToyModel.field_9=2, field_2=2]'\n"
        )
        assert note in str(outcome)

    def test_a_field_that_is_in_the_table_need_not_be_added(self, planted):
        planted(lambda settings: "field_2" in settings)
        (note,) = outcome_of(FAMILY, "forward", search(FAMILY, "forward", (), examples=100)).notes
        assert note.startswith("to repeat it, run\n\npytest --run-slow 'suites/equivalence/test_fields.py::")
        assert note.endswith("[toy.ToyModel.field_2=2]'\n")

    def test_an_agreeing_search_says_how_much_was_compared(self, planted):
        planted(lambda settings: False)
        outcome = outcome_of(FAMILY, "forward", search(FAMILY, "forward", (), examples=20))
        assert outcome.verdict is Verdict.AGREE
        assert outcome.metrics()["configurations"] == outcome.compared > 5

    @pytest.mark.parametrize(
        "value",
        [True, 3, 1e-5, 1e22, float("inf"), 'a"b\\c\n', [], {}, [[["global", "local"], 1]], {"x.y": {"é": [1]}}],
    )
    def test_every_value_is_read_as_it_was(self, value):
        assert tomllib.loads(f"a = {written(value)}") == {"a": value}


def held(settings, name):
    """Whether a dotted name is among the settings."""
    for part in name.split("."):
        if part not in settings:
            return False
        settings = settings[part]
    return True
