"""The suite of twins' section of the page: what its cells and fields say, its divergences, wrong records, its size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.equivalence.fields import HONOURED, NOT_EXERCISED, OTHERWISE, RAISES
from harness.parity.compare import Verdict
from harness.report import finish
from harness.report.configured import families, is_field, totals
from harness.report.equivalence import matrix, section
from harness.report.page import SIZE, placed
from harness.report.run import read_run
from harness.report.terminal import table
from harness.report.words import told
from suites.selftest.equivalence_runs import REMEDY, field, large, line, outcome, sample
from suites.selftest.report_runs import HOSTILE, LONG, result, write_run
from suites.selftest.test_report_page import outside, parse

ABSENT = "\N{EN DASH}"
SECTIONS = {"equivalence": "harness.report.equivalence:section"}


def made(folder: Path) -> str:
    return str(section(list(read_run(folder).results), folder))


def configured(folder: Path):
    return {family.id: family for family in families(
        [(each, place) for each, place in placed(read_run(folder).results) if is_field(each)]
    )}  # fmt: skip


def rows(html: str) -> dict[str, list[str]]:
    """The text of the matrix's cells by the text of the row's header."""
    found = {}
    for row in re.findall(r"<tr role=\"row\".*?</tr>", html[: html.index("</table>")], re.DOTALL)[1:]:
        name, *others = (parse(cell).text for cell in re.split(r"(?=<t[hd] )", row)[1:])
        found[name] = others
    return found


def off(family) -> dict[str, dict[str, list[str]]]:
    """What is spelled out of a family: standing -> field -> values."""
    return {
        group.name: {chip.field: [value.told for value in chip.values] for chip in group.chips} for group in family.off
    }


def alike(family) -> dict[str, list[str]]:
    return {group.name: [chip.field for chip in group.chips] for group in family.alike}


class TestMatrix:
    def test_a_cell_counts_the_classes_that_stand_alike_the_worst_first(self, tmp_path: Path) -> None:
        found = rows(made(sample(tmp_path)))
        assert found["bert 2"] == ["✓agree2", "§registered1 ✓agree1", ABSENT]
        assert found["t5 2"] == ["✗diverge1 ✓agree1", ABSENT, "!mended1"]

    def test_a_row_holds_its_classes_with_their_errors_and_odd_names(self, tmp_path: Path) -> None:
        found = rows(made(sample(tmp_path)))
        assert list(found)[:3] == ["bert 2", "BertLMHeadModel FlaxBertForCausalLM", "BertModel"]
        assert found["BertLMHeadModel FlaxBertForCausalLM"] == ["✓ 3e-7", "§ inf", ABSENT]
        assert found["T5Model"] == ["✗ 0.2", ABSENT, "! 3e-7"]

    def test_a_cell_is_coloured_by_its_worst_class(self, tmp_path: Path) -> None:
        html = made(sample(tmp_path))
        first = html[html.index(">t5 ") :]
        assert re.search(r'<td role="cell" class="(\w+)"', first)[1] == "diverge"

    def test_checks_come_in_the_order_of_the_run_and_no_field_is_among_them(self, tmp_path: Path) -> None:
        names = ("trip bfloat16", "to_flax", "a-new-check")
        lines = [line(tmp_path, outcome("bert", "BertModel", name, 1.0 if name == "to_flax" else 0)) for name in names]
        lines.append(line(tmp_path, field("bert", "BertModel", "hidden_act", "relu", HONOURED)))
        html = made(write_run(tmp_path, *lines))
        headers = [parse(cell).text for cell in re.findall(r'<th scope="col".*?</th>', html)]
        assert headers == ["Family", *names]

    def test_of_several_results_of_a_check_the_worst_counts(self, tmp_path: Path) -> None:
        lines = [line(tmp_path, outcome("a", "A", "probes", e), test=f"test {e}") for e in (1e-9, 0.5, 1e-8)]
        (family,) = matrix(placed(read_run(write_run(tmp_path, *lines)).results), ["probes"])
        assert [(count.number, count.standing) for count in family.cells[0]] == [(1, "diverge")]

    def test_a_test_without_an_outcome_is_told_beside_the_matrix(self, tmp_path: Path) -> None:
        html = made(sample(tmp_path))
        assert "test_twins_agree[t5.T5Model-from_flax]: the worker process was killed by SIGKILL" in parse(html).text
        assert not any("test_twins_agree" in name for name in rows(html))


class TestFields:
    def test_what_diverges_is_spelled_out_and_what_does_not_is_counted(self, tmp_path: Path) -> None:
        found = configured(sample(tmp_path))
        assert off(found["bert"]) == {"raises in one": {"hidden_act": ["gelu_10"]}}
        assert alike(found["bert"]) == {
            "honoured by both": ["layer_norm_eps", "num_attention_heads"],
            "not exercised": ["use_cache"],
            "read by neither": ["initializer_range"],
        }
        assert off(found["gpt2"]) == {
            "ignored by the port": {"is_decoder": ["True"]},
            "ignored by the reference": {"is_decoder": ["True"]},
            "followed otherwise": {"n_inner": ["48"]},
        }

    def test_each_field_counts_once_by_what_of_it_diverges(self, tmp_path: Path) -> None:
        found = configured(sample(tmp_path))
        counts = {total.name: total.number for total in totals(list(found.values()))}
        assert counts == {
            "honoured by both": 2,
            "raises in one": 1,
            "ignored by the port": 1,
            "followed otherwise": 1,
            "not exercised": 1,
            "read by neither": 1,
        }
        assert sum(total.share for total in totals(list(found.values()))) == pytest.approx(100, abs=0.1)

    def test_a_field_that_agrees_by_name_yet_fails_is_spelled_out(self, tmp_path: Path) -> None:
        lines = [
            line(tmp_path, field("a", "A", "x", "1", NOT_EXERCISED, error=0.5, verdict=Verdict.DIVERGE)),
            line(tmp_path, field("a", "A", "y", "1", HONOURED), "a-row"),
        ]  # fmt: skip
        found = configured(write_run(tmp_path, *lines))["a"]
        assert off(found) == {"honoured by both": {"y": ["1"]}, "not exercised": {"x": ["1"]}}
        assert [chip.standing for group in found.off for chip in group.chips] == ["mended", "diverge"]

    def test_one_value_on_several_classes_says_which(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert "registered is_decoder: True GPT2LMHeadModel" in text
        assert "diverge is_decoder: True GPT2Model" in text
        assert "registered hidden_act: gelu_10 BertModel" not in text

    def test_one_value_with_other_settings_is_another(self, tmp_path: Path) -> None:
        lines = [
            line(tmp_path, field("a", "A", "x", told, OTHERWISE), "a-row", test=told) for told in ("1", "1, y=2", "1")
        ]
        assert off(configured(write_run(tmp_path, *lines))["a"]) == {OTHERWISE: {"x": ["1", "1, y=2"]}}

    def test_dotted_fields_keep_their_names(self, tmp_path: Path) -> None:
        lines = [line(tmp_path, field("clip", "C", "text_config.hidden_act", "relu", RAISES))]
        assert off(configured(write_run(tmp_path, *lines))["clip"]) == {RAISES: {"text_config.hidden_act": ["relu"]}}


class TestWrongRecords:
    @pytest.mark.parametrize("metrics", [
        {}, {"error": 1.0}, {"standing": "honored", "field": "x"}, {"standing": 3, "field": ["x"]},
        {"standing": None, "field": None}, {"standing": HOSTILE, "field": HOSTILE},
    ])  # fmt: skip
    def test_a_field_whose_standing_is_not_known_is_never_counted_as_honoured(self, tmp_path: Path, metrics) -> None:
        bad = line(tmp_path, field("a", "A", "x", "1", HONOURED)) | {"metrics": metrics}
        folder = write_run(tmp_path, bad)
        assert off(configured(folder)["a"]) == {"not known": {"x": ["1"]}}
        assert {total.name: total.number for total in totals(list(configured(folder).values()))} == {
            "honoured by both": 0,
            "not known": 1,
        }
        assert "1 not known" in parse(made(folder)).text

    def test_a_check_without_metrics_has_its_standing_and_no_figure(self, tmp_path: Path) -> None:
        bare = line(tmp_path, outcome("a", "A", "to_flax")) | {"metrics": {}, "title": ""}
        assert rows(made(write_run(tmp_path, bare)))["A"] == ["✓ -"]

    @pytest.mark.parametrize(
        "content", ["[]", "{", '{"register": 4}', '{"register": [1]}', '{"register": [{"id": 1}]}']
    )
    def test_a_file_that_cannot_be_read_leaves_the_reason(self, tmp_path: Path, content: str) -> None:
        folder = sample(tmp_path)
        for file in (folder / "cases").iterdir():
            file.write_text(content, encoding="utf-8")
        assert "another-name the cause of another-name Shows in" in parse(made(folder)).text
        for file in (folder / "cases").iterdir():
            file.unlink()
        assert "another-name the cause of another-name Shows in" in parse(made(folder)).text

    def test_hostile_text_is_text(self, tmp_path: Path) -> None:
        lines = [
            line(tmp_path, field("a", "A", "x", HOSTILE, RAISES, reason=HOSTILE), HOSTILE),
            line(tmp_path, field("a", "A", "y", LONG, HONOURED)),
            line(tmp_path, outcome("a", "A", HOSTILE, 1.0)),
            result(HOSTILE, "diverge", suite="equivalence", check=HOSTILE, reason=HOSTILE),
        ]
        finish(write_run(tmp_path, *lines), sections=SECTIONS)
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert "<script" not in html
        assert outside(html) == []
        assert "This section could not be made" not in html

    def test_no_result_of_twins_makes_no_table(self, tmp_path: Path) -> None:
        html = made(write_run(tmp_path, result("test_search[bert]", "inconclusive", suite="equivalence", metrics={})))
        assert "<table" not in html
        assert "test_search[bert]" in html


class TestDivergences:
    def test_each_is_told_once_with_its_cause_place_and_correction(self, tmp_path: Path) -> None:
        text = parse(made(sample(tmp_path))).text
        assert f"§ causal the cause of causal Where transformers/x.py:7 Correction {REMEDY}" in text
        shows = text[text.index("§ causal the cause") :]
        assert "FlaxGPT2LMHeadModel against GPT2LMHeadModel, is_decoder=True" in shows
        assert "FlaxGPT2Model against GPT2Model, n_inner=48" in shows


class TestPage:
    def test_every_link_leads_to_its_own_place(self, tmp_path: Path) -> None:
        long = "Speech" + "Encoder" * 9 + "Model"
        lines = [
            line(tmp_path, field("a", long, "x", told, RAISES, reason=f"why {told}."), test=told)
            for told in ("-1", "1", "1.0")
        ]
        finish(write_run(tmp_path, *lines, line(tmp_path, outcome("a", long, "to_flax"))), sections=SECTIONS)
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        ids = [str(each["id"]) for _, each in parse(html).elements if each.get("id")]
        assert len(ids) == len(set(ids))
        for told_ in ("-1", "1", "1.0"):
            (target,) = re.findall(rf'href="#(r-[\w-]+)">{re.escape(told_)}</a>', html)
            place = html[html.index(f'id="{target}"') :]
            assert f"why {told_}." in place[: place.index("</article>")]

    def test_a_run_of_the_whole_library_stays_below_the_size_and_shows_what_matters(self, tmp_path: Path) -> None:
        finish(large(tmp_path, off=0.05), sections=SECTIONS)
        html = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert len(html.encode()) < SIZE
        reader = parse(html)
        ids = {str(each["id"]) for _, each in reader.elements if each.get("id")}
        links = {str(each["href"])[1:] for _, each in reader.elements if str(each.get("href")).startswith("#")}
        assert links <= ids
        run = read_run(tmp_path)
        shown, more = told(run)
        assert len(shown) < 400 < len(run.results)
        assert not any(each.verdict.value == "agree" for each in shown)
        assert re.fullmatch(r"and 3,\d\d\d more results: 3,\d\d\d agree", more)
        assert table(run, width=100).caption == more
        summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
        assert f"… {more}." in summary
        assert "#### ✗" in summary


def test_what_is_left_out_of_a_table_is_counted_and_failures_never_are(tmp_path: Path) -> None:
    lines = [line(tmp_path, outcome("a", "A", f"c{i}", 1.0), *(["row"] if i % 2 else [])) for i in range(8)]
    run = read_run(write_run(tmp_path, *lines, *(line(tmp_path, outcome("b", "B", f"c{i}")) for i in range(5))))
    assert [len(told(run, limit=limit)[0]) for limit in (20, 12, 4)] == [13, 8, 4]
    assert told(run, limit=4)[1] == "and 9 more results: 4 registered, 5 agree"
    assert {each.registered for each in told(run, limit=4)[0]} == {()}
    assert told(run, limit=2)[1] == "and 11 more results: 2 diverge, 4 registered, 5 agree"
