"""The page of a run: what it shows, what it must never let through, and how large it may be."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from markupsafe import Markup

from harness.parity.compare import Verdict
from harness.report import finish
from harness.report.chart import chart
from harness.report.detail import pick, read_detail
from harness.report.page import SIZE, flat, page
from harness.report.run import Result, read_run
from suites.selftest.report_runs import HOSTILE, LONG, result, row, sample, taps, write_detail, write_run


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("wbr", "b", "code", "span"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def parse(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def outside(html: str) -> list[str]:
    """Whatever in the page would load or run something: the fault that the page must not have."""
    reader = parse(html)
    found = []
    for tag, attributes in reader.elements:
        for name, value in attributes.items():
            loads = name in ("src", "srcset", "data", "action", "poster", "xlink:href") or name.startswith("on")
            linked = name == "href" and not re.fullmatch(r"#[\w-]+|data:,|[\w-][\w.-]*(/[\w-][\w.-]*)*", value or "")
            if loads or linked or "url(" in (value or "").lower():
                found.append(f"<{tag} {name}={value!r}>")
        if tag in ("script", "iframe", "object", "embed", "img", "base"):
            found.append(f"<{tag}>")
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    found += re.findall(r"@import|url\(|@font-face", styles)
    return found


@pytest.fixture
def html(tmp_path: Path) -> str:
    return page(read_run(sample(tmp_path)), folder=tmp_path)


class TestSafety:
    def test_nothing_is_loaded_and_nothing_runs(self, html: str) -> None:
        assert outside(html) == []
        policy = next(meta for meta in parse(html).all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
        assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline';")

    @pytest.mark.parametrize(
        "fault",
        ["<img src=x>", "<a href='//a.b'>", "<p onclick=x>", "<style>@import 'x'</style>", "<p style='a:url(x)'>"],
    )
    def test_the_check_for_it_sees_a_planted_one(self, html: str, fault: str) -> None:
        assert outside(html + fault)

    def test_hostile_text_is_text(self, html: str) -> None:
        assert "<script" not in html
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert "<script>alert(1)</script>|`x`*\"'&" in parse(html).text
        assert html.count("&lt;script&gt;") > 10

    def test_a_file_that_is_no_plain_name_is_no_link(self, tmp_path: Path) -> None:
        (tmp_path / "cases").mkdir()
        name = "cases/javascript:alert(1).json"
        line = write_detail(tmp_path, result("a"), taps=taps(60, ("x",) * 30, start=1e-7, end=1e-6))
        (tmp_path / line["files"][0]).rename(tmp_path / name)
        assert outside(page(read_run(write_run(tmp_path, line | {"files": [name]})), folder=tmp_path)) == []

    def test_half_a_surrogate_pair_does_not_stop_the_report(self, tmp_path: Path) -> None:
        finish(write_run(tmp_path, result("a\ud800b", "diverge", reason="\udfff")))
        assert "ab" in (tmp_path / "index.html").read_text(encoding="utf-8")


class TestContent:
    def test_the_state_comes_first(self, html: str) -> None:
        assert "<title>✗ 2 of 6 results fail.</title>" in html
        assert "<h1>2 of 6 results fail.</h1>" in html
        tiles = re.findall(r'<li class="tile (\w+)( none)?"><span class="count">(\d+)', html)
        assert {name: int(count) for name, _, count in tiles} == {
            "agree": 2, "registered": 1, "inconclusive": 1, "within_tolerance": 1, "diverge": 1, "notrun": 3,
        }  # fmt: skip

    def test_every_result_is_linked_to_its_case(self, html: str) -> None:
        reader = parse(html)
        targets = {attributes["id"] for tag, attributes in reader.elements if attributes.get("id")}
        links = [str(link["href"])[1:] for link in reader.all("a") if str(link["href"]).startswith("#r-")]
        assert len(links) == len(set(links)) == 6
        assert set(links) <= targets
        ids = [attributes["id"] for _, attributes in reader.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))

    def test_a_case_is_told_in_full(self, html: str) -> None:
        text = parse(html).text
        assert "The port reads no rope_theta" in text
        assert "flax-llama-grouped-heads" in text
        assert "Reference PyTorch LlamaForCausalLM" in text
        assert "812,440 of 1,179,648 elements" in text
        assert "[1, 7, 303] 41.2 reference, 8.2 port" in text
        assert "port: model.rotary_emb.inv_freq" in text
        assert "excused: a buffer of PyTorch, which Flax makes when called" in text
        assert "harness check smollm2-llama-flax" in text
        assert "First tap off: encoder.layer.2.self_attn.q_proj" in text
        assert "12 not finite" in text
        assert "the worker process was killed by SIGKILL" in text
        assert "2 needs a GPU" in text
        assert "31.2 GiB" in text

    def test_the_verdict_is_a_sign_and_a_word(self, html: str) -> None:
        badges = re.findall(r'<span class="badge (\w+)"><span aria-hidden="true">(.)</span> ([^<]+)</span>', html)
        assert ("diverge", "✗", "diverge") in badges
        assert ("registered", "§", "diverge, registered") in badges
        assert ("within_tolerance", "≈", "within tolerance") in badges

    def test_each_table_has_headers_and_each_heading_its_place(self, html: str) -> None:
        reader = parse(html)
        assert all(header.get("scope") in ("col", "row") for header in reader.all("th"))
        levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))

    def test_a_mended_result_says_what_to_do(self, tmp_path: Path) -> None:
        html = page(read_run(write_run(tmp_path, result("a", registered=["row-1"]))), folder=tmp_path)
        assert "agree, registered" in html
        assert "it was mended, remove the row." in html

    def test_an_empty_run_says_that_nothing_is_known(self, tmp_path: Path) -> None:
        html = page(read_run(write_run(tmp_path)), folder=tmp_path)
        assert "<h1>Inconclusive: nothing was compared.</h1>" in html
        assert "No test left a result" in html

    def test_a_test_that_failed_without_a_result_is_named(self, tmp_path: Path) -> None:
        more = ({"event": "finished", "test": "test_a.py::test_b", "outcome": "failed", "seconds": 0.1},)
        text = parse(page(read_run(write_run(tmp_path, result("a"), more=more)), folder=tmp_path)).text
        assert "Tests that failed without a result test_a.py::test_b" in text

    def test_a_detail_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        line = write_detail(tmp_path, result("a"), taps=7)
        text = parse(page(read_run(write_run(tmp_path, line)), folder=tmp_path)).text
        assert "The detail could not be read. cases/0.forward.json: cannot be read" in text

    def test_a_result_without_detail_shows_its_metrics(self, tmp_path: Path) -> None:
        line = result("resnet", suite="benchmarks", metrics={"milliseconds": 12.3456, "peak_bytes": 2**31})
        text = parse(page(read_run(write_run(tmp_path, line)), folder=tmp_path)).text
        assert "milliseconds 12.3" in text
        assert "peak 2.0 GiB" in text


class TestSections:
    def test_a_suite_adds_its_own(self, tmp_path: Path) -> None:
        def section(results: list[Result], folder: Path) -> Markup:
            return Markup("<table><tr><td>{}</td></tr></table>").format(f"{len(results)} in {folder.name}")

        run = read_run(write_run(tmp_path / "run", result("a"), result("b", suite="bench")))
        html = page(run, folder=tmp_path / "run", sections=[("bench", section), ("absent", section)])
        assert "<table><tr><td>1 in run</td></tr></table>" in html
        assert "absent" not in html

    def test_one_that_raises_leaves_the_rest(self, tmp_path: Path) -> None:
        def broken(results: list[Result], folder: Path) -> Markup:
            raise KeyError("<b>milliseconds</b>")

        html = page(read_run(sample(tmp_path)), folder=tmp_path, sections=[("parity", broken)])
        assert "This section could not be made." in html
        assert "KeyError: &#39;&lt;b&gt;milliseconds&lt;/b&gt;&#39;" in html
        assert "Environment" in html

    def test_one_that_is_no_markup_is_text(self, tmp_path: Path) -> None:
        def plain(results: list[Result], folder: Path) -> str:
            return "<i>x</i>"

        html = page(read_run(sample(tmp_path)), folder=tmp_path, sections=[("parity", plain)])
        assert "&lt;i&gt;x&lt;/i&gt;" in html

    def test_one_that_cannot_be_imported_is_told(self, tmp_path: Path) -> None:
        finish(sample(tmp_path), sections={"parity": "no_such_module:section"})
        assert "there is no module &#39;no_such_module&#39;" in (tmp_path / "index.html").read_text(encoding="utf-8")


class TestSize:
    def test_a_large_run_stays_below_the_limit_and_shows_its_faults(self, tmp_path: Path) -> None:
        lines = []
        for case in range(20):
            rows = taps(50, tuple(f"{LONG[:120]}.part_{i}" for i in range(30)), start=1e-7, end=1e-5, seed=case)
            rows[777] = row(f"the_culprit_{case}", 0.5, 3.0)
            line = result(f"case-{case}", "diverge")
            lines.append(write_detail(tmp_path, line, taps=rows, outputs=[row("logits", 0.5, 3.0)], text="x" * 99_999))
        finish(write_run(tmp_path, *lines))
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert 200_000 < (tmp_path / "index.html").stat().st_size < SIZE == 2_000_000
        for case in range(20):
            # In the chart, in its caption and in the table: thinning out spares the fault.
            assert len(re.findall(rf"culprit_(?:<wbr>)?{case}\b", html)) >= 3
        assert re.search(r"[\d,]+ of 1,500 taps", html)
        assert 'All are in <a href="cases/7.forward.json">' in html

    def test_a_small_run_shows_every_tap(self, html: str) -> None:
        assert "All 150 taps" in html
        assert "All are in" not in html

    def test_picked_rows_keep_the_ends_the_worst_and_the_first_outside(self, tmp_path: Path) -> None:
        rows = taps(100, ("a", "b"), start=1e-7, end=1e-7)
        rows[31], rows[150] = row("first", 2e-3, 1.0), row("nan", 0.0, 1.0, not_finite=1)
        detail = read_detail(tmp_path, as_result(write_detail(tmp_path, result("a"), taps=rows)))
        assert detail is not None
        picked = pick(detail.taps, 20, first="first")
        names = [found.name for found in picked]
        assert len(picked) <= 23
        assert {"first", "nan", detail.taps[0].name, detail.taps[-1].name} <= set(names)
        assert [found.name for found in detail.taps if found.name in names] == names


class TestChart:
    def of(self, tmp_path: Path, rows: list[dict[str, object]], **values: object) -> object:
        detail = read_detail(tmp_path, as_result(write_detail(tmp_path, result("a"), taps=rows, **values)))
        assert detail is not None
        return detail

    def test_heights_are_logarithmic(self, tmp_path: Path) -> None:
        found = chart(self.of(tmp_path, [row("a", 1e-6, 1.0), row("b", 1e-5, 1.0), row("c", 1e-4, 1.0)]))
        heights = [point.y for point in found.points]
        assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)
        assert heights[0] > heights[1] > found.tolerance

    def test_zero_is_on_the_floor_and_what_is_no_number_at_the_top(self, tmp_path: Path) -> None:
        rows = [row("a", 0.0, 1.0), row("b", 1e-5, 1.0), row("c", 1e-5, 1.0, not_finite=3), row("d", 1e-5, 1.0)]
        found = chart(self.of(tmp_path, rows))
        assert [point.kind for point in found.points] == ["zero", "value", "not finite", "value"]
        zero, value, not_finite, _ = (point.y for point in found.points)
        assert not_finite < found.tolerance < value < zero
        assert found.error_path.count("M") == 2

    def test_the_first_outside_is_the_first_though_a_later_one_is_worse(self, tmp_path: Path) -> None:
        rows = [row("a", 1e-6, 1.0), row("b", 2e-3, 1.0), row("c", 9.0, 1.0)]
        found = chart(self.of(tmp_path, rows))
        assert found.first.name == "b"
        assert found.first.x == pytest.approx(50)
        assert [point.outside for point in found.points] == [False, True, True]

    def test_thinned_out_it_keeps_every_peak(self, tmp_path: Path) -> None:
        rows = [row(f"t.{i}", 5e-4 if i == 1234 else 1e-6, 1.0) for i in range(1500)]
        found = chart(self.of(tmp_path, rows), limit=100)
        assert len(found.points) == 100
        assert found.rows_a_point == 15
        assert [point.name for point in found.points if point.error > 1e-4] == ["t.1234"]

    def test_thinned_out_it_shows_the_first_outside_and_not_a_worse_neighbour(self, tmp_path: Path) -> None:
        rows = [row(f"t.{i}", {37: 2e-3, 38: 5.0}.get(i, 1e-6), 1.0) for i in range(100)]
        found = chart(self.of(tmp_path, rows), limit=10)
        assert found.first.name == "t.37"
        assert found.first.error == 2e-3

    def test_layers_are_found_by_their_number(self, tmp_path: Path) -> None:
        rows = [row("embed", 1e-6, 1.0), *taps(3, ("a", "b", "c"), start=1e-6, end=1e-5), row("norm", 1e-6, 1.0)]
        found = chart(self.of(tmp_path, rows))
        assert [tick.label for tick in found.layers] == ["0", "1", "2"]
        assert len(found.bounds) == 4

    @pytest.mark.parametrize(
        "rows",
        [
            [row("a", 0.0, 1.0)],
            [row("a", math.inf, 1.0, not_finite=1)],
            [row("a", 1e-300, 1e300)],
            [row("a", 5e-324, 1e-320)],
        ],
    )
    def test_extreme_values_stay_on_the_chart(self, tmp_path: Path, rows: list[dict[str, object]]) -> None:
        found = chart(self.of(tmp_path, rows, outputs=rows))
        assert all(0 <= point.y <= found.height for point in (*found.points, *found.outputs))
        page(read_run(write_run(tmp_path, write_detail(tmp_path, result("a"), taps=rows))), folder=tmp_path)

    def test_without_rows_there_is_none(self, tmp_path: Path) -> None:
        assert chart(self.of(tmp_path, [])) is None

    def test_outputs_stand_at_the_right(self, html: str) -> None:
        assert "<title>output pooler_output: error 2.4e-6, scale 0.98</title>" in html
        assert '<text class="layer" x="45.0" y="292">outputs</text>' in html
        assert ">tolerance 1e-3</text>" in html
        assert "encoder.layer.3.output: error" in html


def as_result(line: dict[str, object]) -> Result:
    return Result("parity", "a", "forward", Verdict.AGREE, files=tuple(line["files"]))  # type: ignore[arg-type]


def test_environment_rows() -> None:
    assert flat({"a": {"b": 1}, "memory_bytes": 2**30, "cores": None}) == [
        ("a / b", "1"),
        ("memory", "1.0 GiB"),
        ("cores", "unknown"),
    ]


def test_the_hostile_name_is_hostile() -> None:
    assert {"<", ">", "|", "`", "\x1b", "\u202e"} <= set(HOSTILE)
