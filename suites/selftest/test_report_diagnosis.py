"""What the report says of the module at fault, its proved cause and the modules that are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.parity.causes import Cause
from harness.parity.causes.describe import Description
from harness.parity.diagnose import Diagnosis
from harness.parity.localise import Faulty, Module
from harness.parity.steps import Step
from harness.report import finish
from harness.report.diagnosis import FAULTS, diagnosis_shown, read_diagnosis
from harness.report.markdown import summary
from harness.report.page import SIZE, page
from harness.report.run import read_run
from suites.selftest.report_runs import HOSTILE, LONG, claim, result, write_detail, write_run
from suites.selftest.test_report_page import outside, parse

NORM = "encoder.layer.1.output.LayerNorm"
HOW = "its inputs agree and its output does not"
SHAPE = "2 \u00d7 12 \u00d7 384"


def faulty(path: str = NORM, **values: Any) -> Faulty:
    known: dict[str, Any] = {
        "port_path": path.replace("layer.", "layer_"),
        "kind": "LayerNorm",
        "check": "forward",
        "how": HOW,
        "error": 0.02,
        "scale": 4.5,
        "shape": (2, 12, 384),
        "worst": (1, 7, 303),
        "reference": 1.25,
        "port": 1.27,
        "probe": "padded right",
    }
    return Faulty(path, **(known | values))


def module(path: str, **values: Any) -> Module:
    known: dict[str, Any] = {"port_path": path, "kind": "Linear", "shape": (2, 12, 384)}
    return Module(path, **(known | values))


def cause(path: str = NORM, **values: Any) -> Cause:
    known: dict[str, Any] = {
        "port_path": path,
        "name": "epsilon of a norm",
        "detail": "1e-5 instead of 1e-12",
        "before": 4.4e-3,
        "after": 2e-16,
        "inputs": 3,
        "others": (),
    }
    return Cause(path, **(known | values))


def diagnosis(**values: Any) -> dict[str, Any]:
    """A diagnosis as it is written: one module of three at fault, its cause proved."""
    known: dict[str, Any] = {
        "faulty": (faulty(),),
        "modules": (
            module("embeddings"),
            module(NORM, local=4.4e-3, total=4.4e-3),
            module("pooler", total=2e-3, inherited=2e-3, amplification=0.45),
        ),
        "probe": "padded right",
        "runs": 7,
        "causes": (cause(),),
    }
    return Diagnosis(**(known | values)).to_dict()


def page_of(folder: Path, **values: Any) -> str:
    line = write_detail(folder, result("a", "diverge"), **values)
    return page(read_run(write_run(folder, line)), folder=folder)


def text_of(folder: Path, **values: Any) -> str:
    return parse(page_of(folder, diagnosis=diagnosis(**values))).text


class TestFaults:
    def test_a_module_at_fault_is_shown_with_all_that_is_known_of_it(self, tmp_path: Path) -> None:
        text = text_of(tmp_path)
        assert "1 module at fault, in the order of execution; it took 7 runs of a whole side." in text
        assert f"✗ {NORM} → encoder.layer_1.output.LayerNorm LayerNorm {HOW}" in text
        assert f"Error 0.02 on values up to 4.5 Shape {SHAPE}" in text
        assert "Worst element [1, 7, 303] 1.25 reference, 1.27 port Seen on padded right" in text

    def test_the_proof_of_its_cause_is_told_step_by_step(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, causes=(cause(others=("scaled: by 1.01", "b", "c", "d")),))
        assert (
            "Proved Hypothesis: epsilon of a norm: 1e-5 instead of 1e-12 "
            "Before, it is off by 4.4e-3 of the largest value. "
            "With the hypothesis applied, 2e-16 is left, on 3 inputs. "
            "As well explained by: scaled: by 1.01; b; c and 1 more"
        ) in text
        assert "No cause is proved." not in text

    def test_one_whose_cause_is_not_proved_says_so(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, causes=(cause("another"),))
        assert "No cause is proved." in text
        assert "Hypothesis" not in text

    def test_the_model_itself_and_other_checks_have_names(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, faulty=(faulty("", port_path="", kind="Net", check="gradients"),))
        assert f"✗ the model itself Net gradients: {HOW}" in text

    def test_it_comes_before_the_claims(self, tmp_path: Path) -> None:
        html = page_of(tmp_path, diagnosis=diagnosis(), lines=[claim("forward", "as given")])
        assert 0 < html.index("<h4>Where the fault is</h4>") < html.index("<h4>Claims</h4>")

    def test_of_many_the_first_are_shown_and_the_rest_counted(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, faulty=tuple(faulty(f"layer.{i}") for i in range(FAULTS + 9)), causes=())
        assert text.count(HOW) == FAULTS
        assert "More at fault: 9: layer.12, layer.13, layer.14, layer.15, layer.16, layer.17 and 3 more" in text

    def test_of_those_with_one_cause_the_first_is_shown_so_that_no_other_cause_is_hidden(self, tmp_path: Path) -> None:
        many = tuple(f"layer.{i}" for i in range(FAULTS + 9))
        causes = (*map(cause, many), cause("head", name="head not tied", detail="it was not loaded"))
        text = text_of(tmp_path, faulty=(*map(faulty, many), faulty("head")), causes=causes)
        assert text.count(HOW) == 2
        assert "head not tied: it was not loaded" in text
        assert f"More at fault: {len(many) - 1}: layer.1," in text

    @pytest.mark.parametrize("values", [{}, {"diagnosis": {}}, {"diagnosis": Diagnosis().to_dict()}])
    def test_a_case_without_one_has_no_such_section(self, tmp_path: Path, values: dict[str, Any]) -> None:
        text = parse(page_of(tmp_path, **values)).text
        assert "Where the fault is" not in text
        assert "The detail could not be read." not in text

    def test_where_none_is_found_the_reason_is_told(self, tmp_path: Path) -> None:
        nothing = {"faulty": (), "modules": (), "causes": (), "why_not": "the port is a function"}
        assert "Where the fault is not found: the port is a function" in text_of(tmp_path, **nothing)


class TestModules:
    def test_the_table_is_closed_and_counts_them(self, tmp_path: Path) -> None:
        html = page_of(tmp_path, diagnosis=diagnosis())
        assert "<details><summary>3 modules: 1 at fault, 2 compute what the reference" in html

    @pytest.mark.parametrize(
        ("rows", "counts"),
        [
            ([module("a"), module("b")], "2 modules: none at fault, 2 compute what the reference's do"),
            ([module(NORM), module(f"{NORM}#2"), module("a#2"), module("a")], "2 modules: 1 at fault, 1 computes"),
            ([module(f"{NORM}s")], "1 module: none at fault (1 more beside these), 1 computes what"),
            ([module("a", local=float("nan")), module(NORM)], "2 modules: 1 at fault, 1 unclear"),
        ],
    )
    def test_a_module_called_twice_counts_once(self, rows: list[Module], counts: str) -> None:
        found = (faulty(),) if any(row.path.startswith(NORM) for row in rows) else ()
        read = read_diagnosis({"diagnosis": diagnosis(faulty=found, modules=tuple(rows))})
        assert read.counts.startswith(counts)

    def test_a_row_at_fault_is_marked_in_words_and_not_by_colour_alone(self, tmp_path: Path) -> None:
        text = text_of(tmp_path)
        assert f"✗ at fault {NORM} Linear 4.4e-3 0 - 0" in text
        assert "pooler Linear 0 2e-3 0.45 0" in text
        assert text.count("✗ at fault") == 1
        assert page_of(tmp_path / "more", diagnosis=diagnosis()).count('<tr class="first">') == 1

    def test_where_room_is_short_those_at_fault_are_kept(self) -> None:
        rows = tuple(module(NORM if i == 70 else f"m{i}", local=float(i == 90)) for i in range(100))
        shown = diagnosis_shown(read_diagnosis({"diagnosis": diagnosis(modules=rows)}), limit=12)
        assert shown is not None
        assert len({row.path for row in shown.modules}) == 12
        assert {NORM, "m90", "m0"} <= {row.path for row in shown.modules}
        assert [row.path for row in shown.modules if row.at_fault] == [NORM]

    def test_many_stay_below_the_size_of_a_page(self, tmp_path: Path) -> None:
        rows = tuple(module(f"encoder.layer.{i}.attention.output.dense") for i in range(600))
        many = diagnosis(faulty=tuple(faulty(row.path) for row in rows[:50]), modules=rows, causes=())
        results = [write_detail(tmp_path, result(f"c{i}", "diverge"), diagnosis=many) for i in range(30)]
        finish(write_run(tmp_path, *results))
        assert (tmp_path / "index.html").stat().st_size < SIZE
        assert "of 600 rows, those at fault first" in (tmp_path / "index.html").read_text(encoding="utf-8")


class TestWhatARecordMayHold:
    def test_text_is_escaped(self, tmp_path: Path) -> None:
        values: dict[str, Any] = {
            "faulty": (faulty("<b>", how=HOSTILE, kind=HOSTILE, check=HOSTILE, probe=HOSTILE), faulty(LONG)),
            "modules": (module("<b>", kind=HOSTILE), module(HOSTILE, port_path=LONG)),
            "probe": HOSTILE,
            "causes": (cause("<b>", name=HOSTILE, detail=HOSTILE, others=(HOSTILE,)),),
            "why_not": HOSTILE,
        }
        html = page_of(tmp_path, diagnosis=diagnosis(**values))
        assert outside(html) == []
        assert "<script" not in html
        assert "\x1b" not in html
        assert html.count("&lt;b&gt;") == 2
        assert "✗ at fault <b>" in parse(html).text

    def test_a_number_that_is_not_finite_is_shown_as_such(self, tmp_path: Path) -> None:
        worst: dict[str, Any] = {"reference": float("nan"), "port": float("-inf")}
        rows = (module(NORM, local=float("inf"), inherited=float("nan"), amplification=float("inf")),)
        text = text_of(tmp_path, faulty=(faulty(error=float("inf"), **worst),), modules=rows)
        assert "Error inf Shape" in text
        assert "Worst element [1, 7, 303] nan reference, -inf port" in text
        assert f"✗ at fault {NORM} Linear inf NaN inf 0" in text

    def test_what_has_no_error_shows_none(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, faulty=(faulty(error=float("nan"), worst=()),))
        assert f"LayerNorm {HOW} Shape {SHAPE} Seen on" in text

    @pytest.mark.parametrize(
        "broken",
        [
            ["faulty"],
            {"faulty": {"path": "a"}},
            {"faulty": [{"how": "no path"}]},
            {"faulty": [{"path": "a", "error": "much"}]},
            {"modules": [{"path": "a", "amplification": "much"}]},
            {"causes": [{"path": "a", "others": "text"}]},
            {"runs": "many"},
            {"steps": ["a"]},
            {"descriptions": {"path": "a"}},
            {"configured": ["a"]},
        ],
    )
    def test_a_broken_one_is_told_and_the_page_made(self, tmp_path: Path, broken: Any) -> None:
        finish(write_run(tmp_path, write_detail(tmp_path, result("a", "diverge"), diagnosis=broken)))
        assert "The detail could not be read." in (tmp_path / "index.html").read_text(encoding="utf-8")


class TestMarkdown:
    def summary_of(self, folder: Path, **values: Any) -> str:
        line = write_detail(folder, result("a", "diverge"), diagnosis=diagnosis(**values))
        return summary(read_run(write_run(folder, line)), folder=folder)

    def test_the_first_at_fault_and_its_cause_are_one_line(self, tmp_path: Path) -> None:
        line = f"At fault: **{NORM}**, {HOW}. Proved: epsilon of a norm: 1e-5 instead of 1e-12. 1 more at fault.\n"
        assert line in self.summary_of(tmp_path, faulty=(faulty(), faulty("b")))

    def test_without_a_cause_it_says_so_and_text_is_escaped(self, tmp_path: Path) -> None:
        text = self.summary_of(tmp_path, faulty=(faulty("<b>", how=HOSTILE),))
        assert "At fault: **&lt;b&gt;**, " in text
        assert ". No cause is proved.\n" in text
        assert "<script" not in text

    def test_without_a_fault_there_is_no_line(self, tmp_path: Path) -> None:
        assert "At fault" not in self.summary_of(tmp_path, faulty=(), causes=())


class TestSteps:
    STEPS = (
        Step("", (), 33.8, 34.0, rounding=False),
        Step("rotary base", ("a", "b"), 3.65, 34.0, rounding=False),
        Step("head not tied", ("lm_head",), 6e-10, 34.0, rounding=True),
    )

    def test_each_is_a_row_with_the_error_that_is_left(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, steps=self.STEPS)
        assert "What becomes of the error when the causes are mended" in text
        assert (
            "nothing 33.8 an error rotary base 2 modules 3.65 an error and head not tied lm_head 6e-10 rounding" in text
        )
        assert "In float64, on values up to 34, on the inputs “padded right”." in text

    def test_without_any_there_is_no_table(self, tmp_path: Path) -> None:
        assert "What becomes of the error" not in text_of(tmp_path)

    def test_their_text_is_escaped(self, tmp_path: Path) -> None:
        steps = (self.STEPS[0], Step(HOSTILE, (HOSTILE,), float("nan"), float("inf"), rounding=False))
        html = page_of(tmp_path, diagnosis=diagnosis(steps=steps, configured={NORM: HOSTILE}))
        assert "<script" not in html
        assert outside(html) == []

    def test_what_the_configuration_says_stands_beside_the_proof(self, tmp_path: Path) -> None:
        said = "the configuration's layer_norm_eps is 1e-12, which the port does not follow"
        assert f"is left, on 3 inputs. {said}" in text_of(tmp_path, configured={NORM: said})


class TestDescription:
    SAID = Description(NORM, ("only from token 16 on", "only in head 2 of 4"))

    def test_an_error_without_a_proved_cause_is_described(self, tmp_path: Path) -> None:
        text = text_of(tmp_path, causes=(), descriptions=(self.SAID,))
        assert "No cause is proved. Its error: only from token 16 on; only in head 2 of 4" in text

    def test_one_of_another_module_is_not_shown_here(self, tmp_path: Path) -> None:
        assert "Its error" not in text_of(tmp_path, causes=(), descriptions=(Description("b", ("everywhere",)),))

    def test_it_is_escaped(self, tmp_path: Path) -> None:
        html = page_of(tmp_path, diagnosis=diagnosis(causes=(), descriptions=(Description(NORM, (HOSTILE,)),)))
        assert "<script" not in html

    def test_markdown_has_it(self, tmp_path: Path) -> None:
        line = TestMarkdown().summary_of(tmp_path, causes=(), descriptions=(self.SAID,))
        assert "No cause is proved: only from token 16 on; only in head 2 of 4.\n" in line
