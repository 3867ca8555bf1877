"""The zero-shot suite's section of the page: what it says of accuracy, of what was left out, and of a family."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from harness.report import finish
from harness.report.run import read_run
from harness.report.scaling import scaling
from harness.report.zero_shot import section
from harness.zeroshot.family import family
from harness.zeroshot.outcome import Outcome
from suites.selftest.report_runs import HOSTILE, result, write_run
from suites.selftest.test_report_page import outside, parse
from suites.selftest.zero_shot_runs import SIZES, inverse, line, sample, scores, summary

SECTIONS = {"zero_shot": "harness.report.zero_shot:section"}


def made(folder: Path) -> str:
    return str(section(list(read_run(folder).results), folder))


class TestSection:
    def test_a_row_says_accuracy_interval_normalisation_and_what_was_left_out(self, tmp_path: Path) -> None:
        html = made(sample(tmp_path))
        cells = [parse(cell).text for cell in re.findall(r"<td.*?</td>", html, re.DOTALL)]
        assert cells[:2] == ["smollm2", "45.00 % ± 6.48 27 of 60"]
        assert cells[2].endswith("33.1 to 57.5")
        assert cells[3].startswith("sum; token 45.0; character")
        assert cells[4] == "1"

    def test_the_interval_is_drawn_where_it_is(self, tmp_path: Path) -> None:
        (bar,) = re.findall(r'<rect x="([\d.]+)" y="4" width="([\d.]+)"', made(sample(tmp_path)))
        assert bar == ("33.09", "24.41")

    def test_reasons_and_the_leaning_normalisation_are_told(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert "winobias-type1-test-anti: 1 row not asked" in text
        assert "157 they differ in more than the pronoun: 13 and 15 words" in text
        assert "The normalisation leans. winobias-type1-test-anti, smollm2: per character, 9 of 60" in text

    def test_decisions_by_occupation_are_told_the_male_first(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert text.index("plumber 100 %, 1 of 2") < text.index("nurse 25 %, 1 of 4")

    def test_what_has_no_summary_is_listed_with_its_reason(self, tmp_path: Path) -> None:
        assert "1 of 60 decisions differs" in parse(made(sample(tmp_path))).text

    def test_it_stands_in_the_page_and_every_link_leads_somewhere(self, tmp_path: Path) -> None:
        finish(sample(tmp_path), sections=SECTIONS)
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert outside(html) == []
        assert "Accuracy against size" in html
        reader = parse(html)
        ids = {str(attributes["id"]) for _, attributes in reader.elements if attributes.get("id")}
        links = {str(each["href"])[1:] for _, each in reader.elements if str(each.get("href")).startswith("#")}
        assert links <= ids

    def test_what_a_file_says_is_escaped(self, tmp_path: Path) -> None:
        told = summary(scores(True, False), task=HOSTILE, model=HOSTILE, warnings=(HOSTILE,))
        html = made(write_run(tmp_path, line(tmp_path, Outcome("task", "model", "accuracy", 0, 0, 2, summary=told))))
        assert "<script>" not in html

    def test_without_a_task_there_is_no_section(self, tmp_path: Path) -> None:
        assert made(write_run(tmp_path, result("a"))) == ""


class TestScaling:
    def test_what_falls_falls_in_the_chart_and_is_marked(self) -> None:
        drawn = scaling(family("occupations", inverse(), SIZES).to_dict())
        assert drawn is not None
        assert drawn.falls
        assert [each.name for each in drawn.points] == ["5 layers", "15 layers", "30 layers"]
        assert [each.y for each in drawn.points] == sorted(each.y for each in drawn.points)
        assert all(each.high < each.y < each.low for each in drawn.points)
        assert [each.x for each in drawn.points] == sorted(each.x for each in drawn.points)

    def test_the_ticks_hold_every_interval(self) -> None:
        drawn = scaling(family("occupations", inverse(), SIZES).to_dict())
        assert drawn is not None
        heights = [tick.at for tick in drawn.ticks]
        assert min(heights) <= min(each.high for each in drawn.points)
        assert max(heights) >= max(each.low for each in drawn.points)
        assert [tick.label for tick in drawn.ticks][:2] == ["20%", "30%"]

    def test_labels_do_not_cover_each_other(self) -> None:
        members = [
            {"name": str(n), "parameters": 1e8 * 1.01**n, "flops": 1.0, "accuracy": 0.5, "low": 0.4, "high": 0.6}
            for n in range(40)
        ]
        drawn = scaling({"members": members})
        assert drawn is not None
        places = [each.x for each in drawn.points if each.label]
        assert all(after - before >= 8.9 for before, after in pairwise(places))

    def test_what_is_no_number_is_not_drawn(self) -> None:
        assert scaling({"members": [{"name": "a", "parameters": 0}, 3, {"parameters": "nan"}]}) is None
