"""The scheduler suite's section of the page: what its cells say, its chart, its defects, and its size."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from harness.parity.compare import Difference, Verdict
from harness.report import finish
from harness.report.convergence import BOTTOM, LABEL_STEP, TOP, Curve, panels
from harness.report.page import SIZE, page
from harness.report.run import read_run
from harness.report.schedulers import COLUMNS, samplers, section
from suites.selftest.report_runs import HOSTILE, result, write_run
from suites.selftest.scheduler_runs import REMEDY, line, ordered, outcome, sample
from suites.selftest.test_report_page import outside, parse

SECTIONS = {"schedulers": "harness.report.schedulers:section"}


def made(folder: Path) -> str:
    return str(section(list(read_run(folder).results), folder))


def cells(html: str) -> dict[str, list[str]]:
    """The text of the table's cells by row id, a sign's word included."""
    table = re.search(r"<tbody.*?</tbody>", html, re.DOTALL)
    assert table
    found = {}
    for row in re.findall(r"<tr.*?</tr>", table[0], re.DOTALL):
        name, *others = (parse(cell).text for cell in re.split(r"(?=<t[hd] )", row)[1:])
        found[name] = others
    return found


class TestTable:
    def test_each_cell_has_a_sign_a_word_and_the_figure(self, tmp_path: Path) -> None:
        found = cells(made(sample(tmp_path)))
        assert list(found) == ["Euler euler", "DPM++ 3M SDE dpmpp-3m-sde", "DEIS deisk-diffusion has no DEIS.",
                               "Heun heun", "LMS lms"]  # fmt: skip
        absent = "\N{EN DASH}not applicable"
        assert found["Euler euler"] == [
            "✓agree 1e-14", "✓agree 2e-6", "✓agree 1.00 of 1", absent, "✓agree 3e-6", "✓agree 1e-14", "✓agree 1e-14",
            "",
        ]  # fmt: skip
        assert found["DPM++ 3M SDE dpmpp-3m-sde"] == [
            "§registered 0.4", "§registered 0.4", absent, "✓agree 2e-16, 3e-15", absent, absent, absent, "sde-sign",
        ]  # fmt: skip
        assert found["Heun heun"][:3] == ["?inconclusive NaN", "✗diverge 2e-4", "✗diverge 1.40 of 2"]
        assert found["LMS lms"][:2] == ["!mended 1e-14", "✗diverge 2e-4"]

    def test_of_several_results_of_a_check_the_worst_is_shown(self, tmp_path: Path) -> None:
        errors = {"a": (1e-15, 0.5, 1e-14), "b": (1e-15, 1e-13, 1e-14)}
        lines = [
            line(tmp_path, outcome(row, "grid", error), test=f"{row}{error}") for row in errors for error in errors[row]
        ]
        found = cells(made(write_run(tmp_path, *lines)))
        assert (found["a"][0], found["b"][0]) == ("✗diverge 0.5", "✓agree 1e-13")

    def test_each_type_is_judged_by_its_own_gate(self, tmp_path: Path) -> None:
        one = outcome("a", "original", 2e-4, 1e-5, numbers={"error64": 1e-13, "error32": 2e-4})
        found = cells(made(write_run(tmp_path, line(tmp_path, one, "in-float32"))))
        assert found["a"][:2] == ["✓agree 1e-13", "§registered 2e-4"]

    def test_a_column_without_a_result_is_left_out(self, tmp_path: Path) -> None:
        html = made(write_run(tmp_path, line(tmp_path, outcome("a", "grid"))))
        assert re.findall(r'<th scope="col"[^>]*>([^<]+)', html) == ["Sampler", "Grid", "Known defects"]

    def test_every_link_leads_to_its_place_in_the_page(self, tmp_path: Path) -> None:
        finish(sample(tmp_path), sections=SECTIONS)
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert outside(html) == []
        reader = parse(html)
        ids = [str(attributes["id"]) for _, attributes in reader.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))
        links = [str(each["href"])[1:] for tag, each in reader.elements if str(each.get("href")).startswith("#")]
        assert {"r-schedulers-heun-order", "d-sde-sign"} <= set(links) <= set(ids)
        assert html.index('id="h-section-1"') < html.index('id="h-cases"')


class TestOthers:
    def test_a_check_without_a_column_is_counted_and_its_failures_are_named(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert "properties: ✗ 1 diverge, ✓ 1 agree; ✗diverge Heun" in text

    def test_planted_faults_are_counted_and_make_no_row(self, tmp_path: Path) -> None:
        html = made(sample(tmp_path))
        assert "Planted faults: 1 of 2 are caught; not Heun without a last step." in parse(html).text
        assert not any("wrong sign" in name for name in cells(html))

    def test_only_an_unknown_check_makes_no_table(self, tmp_path: Path) -> None:
        html = made(write_run(tmp_path, line(tmp_path, outcome("a", "surprise"))))
        assert "<table" not in html
        assert "surprise: ✓ 1 agree" in parse(html).text


class TestDefects:
    def test_each_is_told_with_its_cause_place_correction_and_where_it_shows(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert f"§ sde-sign the cause of sde-sign Where diffusers/x.py:7 Correction {REMEDY}" in text
        assert f"{REMEDY} Shows in DPM++ 3M SDE, original" in text
        assert "deis-grid the cause of deis-grid" in text

    def test_one_that_many_results_show_is_listed_once(self, tmp_path: Path) -> None:
        lines = [line(tmp_path, outcome(f"row-{i}", "grid", 1.0), "one-cause") for i in range(30)]
        html = made(write_run(tmp_path, *lines))
        assert html.count('<li id="d-') == 1
        assert "row-23, grid and 6 more" in parse(html).text

    def test_without_its_file_a_result_tells_its_reason(self, tmp_path: Path) -> None:
        folder = sample(tmp_path)
        for file in (folder / "cases").iterdir():
            file.unlink()
        html = made(folder)
        assert cells(html)["Euler euler"][2] == "✓agree 1.00 of 1"
        assert "sde-sign the cause of sde-sign Shows in" in parse(html).text
        assert "Error against steps" not in html

    @pytest.mark.parametrize("content", ["[]", "{", '{"series": 3, "register": 4, "note": null}', '{"register": [1]}'])
    def test_a_damaged_file_breaks_nothing(self, tmp_path: Path, content: str) -> None:
        folder = sample(tmp_path)
        for file in (folder / "cases").iterdir():
            file.write_text(content, encoding="utf-8")
        assert "sde-sign" in made(folder)

    def test_a_result_of_another_kind_breaks_nothing(self, tmp_path: Path) -> None:
        bare = result("test_it[euler]", "inconclusive", suite="schedulers", check="run", metrics={}, reason=HOSTILE)
        odd = result("euler", suite="schedulers", check="order", metrics={"order": "nan", "stated": "x"})
        html = made(write_run(tmp_path, bare, odd))
        assert cells(html)["euler"] == ["✓agree NaN", ""]
        assert "run: ? 1 inconclusive; ?inconclusive test_it[euler]" in parse(html).text

    def test_hostile_text_is_text(self, tmp_path: Path) -> None:
        lines = [line(tmp_path, ordered("a", 1.0, 2, title=HOSTILE, note=HOSTILE), HOSTILE)]
        html = made(write_run(tmp_path, *lines))
        assert "<script" not in html
        assert outside(html) == []


class TestChart:
    def curve(self, name: str, order: float, stated: float | None = 2, first: float = 0.1) -> Curve:
        series = tuple((steps, first * (steps / 10) ** -order) for steps in (10, 20, 40, 80))
        return Curve(name, "r", "agree", stated, order, series)

    def test_solvers_of_one_stated_order_share_a_chart(self) -> None:
        found = panels([self.curve("a", 2), self.curve("b", 1, 1), self.curve("c", 2), self.curve("d", 3, None)])
        assert [(panel.stated, len(panel.lines)) for panel in found] == [(1, 1), (2, 2), (None, 1)]

    def test_a_curve_of_the_stated_order_lies_along_its_guide(self) -> None:
        (panel,) = panels([self.curve("a", 2)])
        guide = next(guide for guide in panel.guides if guide.stated)
        (line,) = panel.lines
        assert (guide.slope, guide.x, guide.y) == (2, line.points[-1].x, line.points[-1].y)
        assert guide.path.startswith(line.path.partition("L")[0])

    def test_slopes_are_in_proportion_and_stay_in_the_field(self) -> None:
        (panel,) = panels([self.curve("a", 1), self.curve("b", 4)])
        assert all(TOP <= guide.y <= BOTTOM for guide in panel.guides)
        assert all(TOP <= point.y <= BOTTOM and 0 < point.x < 100 for line in panel.lines for point in line.points)
        first, second = panel.guides[:2]
        start = float(first.path.partition("L")[0].split()[1])
        assert second.y - start == pytest.approx(2 * (first.y - start), abs=1.5)

    def test_names_do_not_cover_each_other_and_go_where_there_is_no_room(self) -> None:
        few = panels([self.curve(f"c{i}", 2) for i in range(18)])[0]
        heights = sorted(line.label_y for line in few.lines)
        assert all(after - before >= LABEL_STEP - 1e-9 for before, after in pairwise(heights))
        assert heights[0] >= TOP
        assert heights[-1] <= BOTTOM
        many = panels([self.curve(f"c{i}", 2) for i in range(30)])[0]
        assert not many.is_labelled
        assert len({(line.colour, line.mark) for line in many.lines}) == 30

    @pytest.mark.parametrize("series", [((10, 0.1),), ((10, 1e-300), (20, 1e300)), ((10, 0.1), (20, 0.1))])
    def test_odd_series_are_drawn(self, series: tuple[tuple[int, float], ...]) -> None:
        (panel,) = panels([Curve("a", "r", "diverge", 1.0, None, series)])
        assert len(panel.lines[0].points) == len(series)
        assert len(panel.decades) <= 8

    def test_a_curve_without_a_point_is_left_out(self) -> None:
        assert panels([Curve("a", "r", "agree", 1.0, 1.0, ())]) == ()

    def test_the_legend_says_the_order_and_how_it_stands(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert "Stated order 3" in text
        assert "DEIS 1.10 § registered" in text
        assert "Heun 1.40 ✗ diverge" in text


class TestSize:
    def test_many_agreeing_results_are_told_in_short(self, tmp_path: Path) -> None:
        pair = Difference("x", "x", (4, 3), (4, 3), 1e-15, scale=3.0, compared=12, verdict=Verdict.AGREE)
        lines = [line(tmp_path, outcome(f"row-{i}", "grid", pairs=(pair,) * 30)) for i in range(400)]
        lines.append(line(tmp_path, outcome("bad", "grid", 1.0, pairs=(pair,) * 30)))
        finish(write_run(tmp_path, *lines), sections=SECTIONS)
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert len(html.encode()) < SIZE / 2
        assert html.count('<article class="card') == 1
        assert html.count('<article class="short agree"') == 400
        assert "400 more results" in html
        assert '<a href="cases/row-7.grid.7.json">' in html

    def test_where_everything_fails_the_page_stays_below_its_limit(self, tmp_path: Path) -> None:
        pair = Difference("x", "x", (4, 3), (4, 3), 1.0, scale=3.0, compared=12, verdict=Verdict.DIVERGE)
        lines = [line(tmp_path, outcome(f"row-{i}", "grid", 1.0, pairs=(pair,) * 30)) for i in range(500)]
        html = page(read_run(write_run(tmp_path, *lines)), folder=tmp_path)
        assert len(html.encode()) < SIZE
        assert 0 < html.count('<article class="card') < 500 == html.count("<article")


def test_rows_stand_in_the_order_of_the_results(tmp_path: Path) -> None:
    names = ["b", "a", "c"]
    run = read_run(write_run(tmp_path, *(line(tmp_path, outcome(name, "grid")) for name in names)))
    assert [sampler.id for sampler in samplers([(one, {}) for one in run.results], COLUMNS)] == names
