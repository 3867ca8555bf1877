"""The table of originals: what it says of a pair, and that nothing breaks it."""

import json

import pytest

from harness.parity.compare import Verdict
from harness.report.originals import pair, section
from harness.report.run import Result
from suites.selftest.report_runs import result as line
from suites.selftest.report_runs import write_run

ORIGINAL = {"package": "fair-esm", "version": "2.0.0", "licence": "MIT", "source": "https://example.org"}


def result(folder, case, document, **further):
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "cases" / f"{case}.json").write_text(json.dumps(document))
    metrics = {"error": 1.5e-6, "scale": 3.0, "error64": 2e-15, "floor": 3e-6}
    return Result(
        suite="parity",
        case=case,
        check="forward",
        title="ESM-2: transformers against fair-esm",
        verdict=Verdict(further.pop("verdict", "agree")),
        metrics=metrics,
        files=(f"cases/{case}.json",),
        **further,
    )


def document(**changed):
    taps = [{"name": f"layers.{n}", "error": 1e-7 * n, "scale": 1.0, "verdict": "agree"} for n in range(3)]
    return {"original": ORIGINAL, "port": "PyTorch EsmForMaskedLM", "taps": taps, **changed}


def test_what_a_pair_shows(tmp_path):
    one = result(tmp_path, "original-esm2", document())
    found = pair(one, "r-1", document())
    assert (found.title, found.package, found.version, found.licence) == ("ESM-2", "fair-esm", "2.0.0", "MIT")
    assert (found.error, found.float64, found.floor, found.layers) == ("1.5e-6", "2e-15", "3e-6", 3)
    heights = [bar.height for bar in found.bars]
    assert heights == sorted(heights)
    assert heights[0] == 0.0
    assert not any(bar.off for bar in found.bars)


def test_a_layer_outside_the_tolerance_is_marked(tmp_path):
    taps = [{"name": "a", "error": 0.5, "scale": 1.0, "verdict": "diverge"}]
    assert [bar.off for bar in pair(result(tmp_path, "a", document(taps=taps)), "r", document(taps=taps)).bars] == [
        True
    ]


def test_many_layers_are_drawn_as_fewer_bars_that_keep_the_worst(tmp_path):
    taps = [{"name": str(n), "error": float(n == 777), "scale": 1.0, "verdict": "agree"} for n in range(1000)]
    found = pair(result(tmp_path, "a", document(taps=taps)), "r", document(taps=taps))
    assert len(found.bars) <= 400
    assert max(bar.height for bar in found.bars) > 90
    assert found.layers == 1000


def test_the_section_names_every_original_and_what_is_known(tmp_path):
    known = {"register": [{"id": "esm-part", "cause": "it parts here", "kind": "defect"}]}
    results = [
        result(tmp_path, "original-esm2", document()),
        result(tmp_path, "original-parts", document(**known), verdict="diverge", registered=("esm-part",)),
        result(tmp_path, "minilm-flax", {"original": None}),
    ]
    text = str(section(results, tmp_path))
    assert "2 pairs of 1 original" in text
    assert "it parts here" in text.lower()
    assert 'href="#d-esm-part"' in text
    assert "minilm" not in text


def test_without_originals_there_is_no_section(tmp_path):
    assert str(section([result(tmp_path, "minilm-flax", {"original": None})], tmp_path)) == ""


def test_without_originals_the_page_has_no_heading_for_them(tmp_path):
    from harness.report.page import page
    from harness.report.run import read_run

    run = read_run(write_run(tmp_path, line("minilm-flax")))
    assert "h-section-1" not in page(run, folder=tmp_path, sections=[("parity", section)])


@pytest.mark.parametrize("taps", [[], [{}], [{"name": "<b>", "error": None, "scale": 0}], ["x"]])
def test_what_is_damaged_does_not_break_it(tmp_path, taps):
    text = str(section([result(tmp_path, "a", document(taps=taps, port="<script>"))], tmp_path))
    assert "<script>" not in text
