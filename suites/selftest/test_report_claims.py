"""What the report says of the further claims, the probes and the preflight."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.parity.judge import Line
from harness.report import finish
from harness.report.chart import chart
from harness.report.detail import Detail, read_detail
from harness.report.further import read_further
from harness.report.markdown import summary
from harness.report.page import SIZE, page
from harness.report.run import Result, Verdict, read_run
from harness.report.strip import PARTS, claims, place, ticks
from suites.selftest.report_runs import HOSTILE, claim, hostile_further, result, row, weights, write_detail, write_run
from suites.selftest.test_report_page import outside, parse


def page_of(folder: Path, **values: Any) -> str:
    line = write_detail(folder, result("a", "diverge"), **values)
    return page(read_run(write_run(folder, line)), folder=folder)


def text_of(folder: Path, **values: Any) -> str:
    return parse(page_of(folder, **values)).text


def detail_of(folder: Path, **values: Any) -> Detail:
    files = tuple(write_detail(folder, result("a"), **values)["files"])
    detail = read_detail(folder, Result("parity", "a", "forward", Verdict.AGREE, files=files))
    assert detail is not None
    return detail


class TestClaims:
    def test_each_claim_is_a_row_with_its_verdict_and_numbers(self, tmp_path: Path) -> None:
        reason = "logits is off by 0.2 on values up to 41"
        lines = [claim("forward", "as given"), claim("decode", "padded left", "diverge", reason=reason, error=0.2)]
        text = text_of(tmp_path, lines=lines)
        assert "2 claims in float64 beside the given call: 1 agree, 1 do not." in text
        assert "forward as given ✓ agree 2e-15 2e-9 2" in text
        assert f"decode padded left ✗ diverge 0.2 2e-9 2 logits {reason}" in text

    def test_a_line_as_it_is_written_can_be_read(self) -> None:
        line = Line(
            "train", "3 steps", Verdict.WITHIN_TOLERANCE, "why", 1e-4, 2.0, 2e-9, "b", 2, 0.1, (("b", 1e-4, 2.0),)
        )
        (found,) = read_further({"lines": [line.to_dict()]}).lines
        assert (found.check, found.probe, found.verdict, found.reason) == (
            "train",
            "3 steps",
            "within_tolerance",
            "why",
        )
        assert (found.error, found.scale, found.allowed, found.where) == (1e-4, 2.0, 2e-9, "b")
        assert [(part.name, part.error) for part in found.parts] == [("b", 1e-4)]

    def test_one_that_failed_before_it_was_measured_shows_no_number(self, tmp_path: Path) -> None:
        shapes = claim("decode", "p", "diverge", reason="other shapes", error=0.0, scale=0.0, allowed=0.0)
        assert "decode p ✗ diverge - - - logits other shapes" in text_of(tmp_path, lines=[shapes])
        (drawn,) = claims(read_further({"lines": [shapes]}), limit=12).rows  # type: ignore[union-attr]
        assert (drawn.strip.kind, drawn.strip.allowed, drawn.strip.contract) == ("none", None, None)

    def test_the_worst_parameters_are_shown_and_the_rest_counted(self, tmp_path: Path) -> None:
        pairs = [[f"layer.{i}.weight", i * 1e-6, 1.0] for i in range(39)]
        html = page_of(tmp_path, lines=[claim("gradients", "padded right", pairs=pairs)])
        text = parse(html).text
        assert "gradients, padded right: the worst 12 of 39 arrays" in text
        assert "and 27 more, none worse." in text
        table = text[text.index("the worst 12 of") :]
        assert re.findall(r"layer\.(\d+)\.weight", table) == [str(i) for i in range(38, 26, -1)]
        assert "layer.26.weight" not in text

    def test_arrays_that_are_no_parameters_have_no_table(self, tmp_path: Path) -> None:
        lines = [claim("forward", "as given", pairs=[["logits", 1e-9, 1.0]])]
        assert "1 array" not in text_of(tmp_path, lines=lines)

    def test_where_room_is_short_those_that_fail_are_kept(self) -> None:
        lines = [claim("forward", f"p{i}", "diverge" if i in (70, 90) else "agree") for i in range(100)]
        found = claims(read_further({"lines": lines}), limit=12)
        assert found is not None
        assert [drawn.line.probe for drawn in found.rows] == [*(f"p{i}" for i in range(10)), "p70", "p90"]
        assert found.left_out == 88

    def test_many_claims_stay_below_the_size_of_a_page(self, tmp_path: Path) -> None:
        pairs = [[f"encoder.layer.{i}.attention.output.dense.weight", 1e-6, 1.0] for i in range(20)]
        lines = [claim("train", f"probe {i}", "diverge", reason="x" * 999, pairs=pairs) for i in range(60)]
        finish(
            write_run(tmp_path, *(write_detail(tmp_path, result(f"c{i}", "diverge"), lines=lines) for i in range(30)))
        )
        assert (tmp_path / "index.html").stat().st_size < SIZE
        assert 'not shown here, all are in <a href="cases/7.forward.json">' in (tmp_path / "index.html").read_text()


class TestStrip:
    def strip(self, check: str = "forward", **values: Any) -> Any:
        found = claims(read_further({"lines": [claim(check, "p", **values)]}), limit=12)
        assert found is not None
        return found.rows[0].strip

    def test_the_axis_is_logarithmic_and_the_same_for_all(self) -> None:
        assert [place(10.0**exponent) for exponent in (-17, -8, 1)] == [0.0, 50.0, 100.0]
        assert [label for _, label in ticks()] == ["1e-15", "1e-12", "1e-9", "1e-6", "1e-3", "1"]

    def test_error_limit_and_contract_have_their_places(self) -> None:
        drawn = self.strip(error=2e-5, scale=2.0, allowed=2e-9)
        assert (drawn.at, drawn.allowed) == (place(1e-5), place(1e-9))
        assert drawn.contract == place(0.5e-3)

    def test_the_contract_of_parameters_is_relative(self) -> None:
        assert self.strip(check="gradients", scale=50.0).contract == place(1e-3)

    def test_a_mean_over_draws_has_no_contract(self) -> None:
        assert self.strip(check="dropout", error=2.2, scale=6.0, allowed=6.0).contract is None

    @pytest.mark.parametrize(
        ("error", "scale", "kind", "at"),
        [
            (0.0, 1.0, "value", 0.0),
            (0.0, 0.0, "value", 0.0),
            (1e-300, 1e300, "value", 0.0),
            (1e300, 5e-324, "value", 100.0),
            (0.1, 0.0, "value", place(0.1)),
            ("nan", 1.0, "not finite", 100.0),
            ("inf", 1.0, "not finite", 100.0),
            (-1.0, 1.0, "value", 0.0),
            (1e-6, "nan", "none", 100.0),
            (1e-6, "inf", "none", 100.0),
            (None, None, "not finite", 100.0),
        ],
    )
    def test_extreme_values_stay_on_it(self, tmp_path: Path, error: Any, scale: Any, kind: str, at: float) -> None:
        drawn = self.strip(error=error, scale=scale)
        assert (drawn.kind, drawn.at) == (kind, at)
        pairs = [["w", error, scale], ["v", 1e-6, 1.0]]
        html = page_of(tmp_path, lines=[claim("gradients", "p", error=error, scale=scale, allowed=error, pairs=pairs)])
        assert "The detail could not be read" not in html
        places = [float(found) for found in re.findall(r'(?:x|width)="([^"%]+)%"', html)]
        assert all(0 <= found <= 100 for found in places)

    def test_what_is_drawn_is_defined_in_the_page(self, tmp_path: Path) -> None:
        lines = [claim("forward", "p"), claim("train", "q", "diverge", error="nan")]
        reader = parse(page_of(tmp_path, lines=lines))
        used = {str(element["href"])[1:] for element in reader.all("use")}
        ids = [attributes["id"] for _, attributes in reader.elements if attributes.get("id")]
        assert used == {"s-grid", "s-end", "s-contract", "s-dot", "s-cross"}
        assert used <= set(ids)
        assert len(ids) == len(set(ids))


class TestPreflight:
    def test_inputs_taken_and_not(self, tmp_path: Path) -> None:
        lines = [claim("forward", "as given"), claim("forward", "padded left"), claim("train", "3 steps")]
        not_taken = {"cross attention": "no encoder", "its mask": "no encoder", "window": "none is configured"}
        text = text_of(tmp_path, lines=lines, probes_not_taken=not_taken)
        assert "Inputs 2 probes taken as given padded left Not taken" in text
        assert "cross attention, its mask: no encoder window: none is configured" in text

    def test_weights_are_counted_and_some_named(self, tmp_path: Path) -> None:
        left = [f"bias_{i}" for i in range(9)]
        audit = weights(only_reference=left, only_port=["kernel"], proposed=["a = b"], different=["c != d"])
        text = text_of(tmp_path, weights=audit)
        assert "Preflight Weights linked 103 Proposed, not used a = b" in text
        assert "Reference alone 9: bias_0, bias_1, bias_2, bias_3, bias_4, bias_5 and 3 more" in text
        assert "Port alone kernel Other values c != d" in text
        assert "Symmetric" not in text

    def test_checks_not_made_are_grouped_by_reason(self, tmp_path: Path) -> None:
        not_checked = {"gradients": "a function", "decode": "no cache", "train": "a function"}
        text = text_of(tmp_path, not_checked=not_checked, islands=["port: norm"], notes=["act is 'gelu'", "b"])
        assert "Not checked gradients, train: a function decode: no cache" in text
        assert "Computed in a shorter type although float64 was asked port: norm" in text
        assert "Notes act is 'gelu' b" in text

    def test_long_lists_end_with_a_count(self, tmp_path: Path) -> None:
        many = {f"probe {i}": f"reason {i}" for i in range(50)}
        text = text_of(tmp_path, notes=[f"note {i}." for i in range(50)], probes_not_taken=many)
        assert "note 11. and 38 more" in text
        assert "reason 11 and 38 more reasons" in text


class TestRecords:
    def test_an_old_record_has_none_of_it(self, tmp_path: Path) -> None:
        reader = parse(page_of(tmp_path, outputs=[row("logits", 1e-6, 1.0)]))
        assert not re.search("Claims|Inputs|Preflight", reader.text)
        assert "Declared outputs" in reader.text
        assert reader.all("use") == []
        assert "Claims" not in summary(read_run(tmp_path), folder=tmp_path)

    def test_empty_parts_have_no_heading(self, tmp_path: Path) -> None:
        empty = {"lines": [], "notes": [], "weights": {}, "probes_not_taken": {}, "not_checked": {}, "islands": []}
        assert not re.search("Claims|Inputs|Preflight", text_of(tmp_path, **empty))

    def test_hostile_text_is_text_everywhere(self, tmp_path: Path) -> None:
        html = page_of(tmp_path, **hostile_further())
        assert outside(html) == []
        assert "<script" not in html
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert html.count("&lt;script&gt;") > 40
        headers = parse(html).all("th")
        assert all(header.get("scope") in ("col", "row") for header in headers)

    @pytest.mark.parametrize(
        "broken",
        [
            {"lines": "forward"},
            {"lines": [7]},
            {"lines": [{}]},
            {"lines": [claim("forward", "p", error=[])]},
            {"lines": [claim("forward", "p", error=10**400)]},
            {"lines": [claim("gradients", "p", pairs=[["w", 1.0]])]},
            {"lines": {"check": "forward"}},
            {"notes": "text"},
            {"weights": [1]},
            {"weights": weights(only_port="kernel")},
            {"weights": weights(linked="many")},
            {"probes_not_taken": ["p"]},
            {"not_checked": 3},
            {"outputs": [row("logits", 1e-6, 1.0) | {"rounding": {"floor": "much"}}]},
            {"outputs": [row("logits", 1e-6, 1.0) | {"outside": float("inf")}]},
        ],
    )
    def test_a_broken_record_is_told_and_the_page_made(self, tmp_path: Path, broken: dict[str, Any]) -> None:
        finish(write_run(tmp_path, write_detail(tmp_path, result("a", "diverge"), **broken)))
        assert "The detail could not be read." in (tmp_path / "index.html").read_text(encoding="utf-8")
        assert "cannot be read" in (tmp_path / "summary.md").read_text(encoding="utf-8")

    def test_an_unknown_verdict_is_shown_as_it_stands(self, tmp_path: Path) -> None:
        assert "forward p perhaps 2e-15" in text_of(tmp_path, lines=[claim("forward", "p", "perhaps")])


class TestFloor:
    def test_the_rounding_of_an_output_is_drawn_beside_its_error(self, tmp_path: Path) -> None:
        rounding = {"error64": 1e-15, "floor": 1e-5}
        outputs = [row("logits", 1e-6, 1.0) | {"rounding": rounding}, row("other", 1e-6, 1.0)]
        found = chart(detail_of(tmp_path, outputs=outputs))
        assert found is not None
        first, second = found.outputs
        assert first.floor_y is not None
        assert first.floor_y < first.y
        assert second.floor_y is None
        html = page_of(tmp_path, outputs=outputs)
        assert "error 1e-6, scale 1, rounding floor 1e-5</title>" in html
        assert html.count('class="floor"') == 2
        assert "what float32 rounding does to the reference" in html

    @pytest.mark.parametrize("floor", ["nan", "inf", 0.0, -1.0, None])
    def test_one_that_is_no_positive_number_is_not_drawn(self, tmp_path: Path, floor: Any) -> None:
        outputs = [row("logits", 1e-6, 1.0) | {"rounding": {"error64": None, "floor": floor}}]
        assert 'class="floor"' not in page_of(tmp_path, outputs=outputs)


class TestMarkdown:
    def test_claims_are_counted_and_what_does_not_agree_named(self, tmp_path: Path) -> None:
        lines = [
            claim("forward", "as given"),
            claim("train", "a", "within_tolerance"),
            claim("forward", "b", "diverge"),
        ]
        lines += [claim("forward", "c", "diverge"), claim("preflight", "d", "inconclusive")]
        line = write_detail(
            tmp_path,
            result("a", "diverge"),
            lines=lines,
            not_checked={"decode": "no cache"},
            probes_not_taken={"p": "q"},
        )
        text = summary(read_run(write_run(tmp_path, line)), folder=tmp_path)
        expected = "| a · forward | 1 of 5 | ✗ forward (2), ≈ train, ? preflight | p: q | decode: no cache |"
        assert expected in text

    def test_it_is_escaped_and_short(self, tmp_path: Path) -> None:
        results = [result(HOSTILE, "diverge", test=str(i)) for i in range(60)]
        lines = [write_detail(tmp_path, each, **hostile_further()) for each in results]
        text = summary(read_run(write_run(tmp_path, *lines)), folder=tmp_path)
        section = text[text.index("### Claims") :]
        assert "<script" not in section
        assert "… and of 10 more results: see `index.html`." in section
        assert all(len(re.findall(r"(?<!\\)\|", line)) in (0, 6) for line in section.splitlines()[:52])


def test_parts_are_few_enough_to_read() -> None:
    assert PARTS == 12
