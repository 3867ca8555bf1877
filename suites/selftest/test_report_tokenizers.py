"""The table of tokenizers: what it says of a pair, what does not show written out, and the register's part in it."""

import json

from harness.parity.compare import Verdict
from harness.report.run import Result
from harness.report.tokenizers import pair, section
from harness.tokenizers.check import check_tokenizers
from harness.tokenizers.group import Correction
from harness.tokenizers.side import side
from suites.selftest.toy_tokenizer import Toy

ORIGINAL = {"package": "toy", "version": "1.0", "licence": "MIT", "source": "https://example.org"}


def result(folder, check="texts", document=None, **further):
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "cases" / f"{check}.json").write_text(json.dumps(document or {}))
    return Result(
        suite="tokenizers",
        case="toy",
        check=check,
        title="A toy of words",
        verdict=Verdict(further.pop("verdict", "agree")),
        metrics={"error": 0.0, "scale": 3.0},
        files=(f"cases/{check}.json",),
        **further,
    )


def document(fault="does not compose", *, explained=True):
    mend = [Correction("marks <b> apart", lambda port: side(Toy()))] if explained else []
    found = check_tokenizers(Toy(), Toy(fault), texts=["xa\u0301", "b"], corrections=mend)
    return {"tokenizers": found.to_dict(), "original": ORIGINAL, "port": "Toy"}


def test_what_a_pair_shows(tmp_path):
    one = result(tmp_path, document=document())
    other = result(tmp_path, check="marks", verdict="diverge", registered=("row",))
    found = pair(one, "r-1", document(), [one, other])
    assert (found.title, found.package, found.version, found.licence) == ("A toy of words", "toy", "1.0", "MIT")
    assert (found.texts, found.differing, found.standing) == (2, 1, "registered")
    (share,) = found.shares
    assert (share.texts, share.width, share.explained) == (1, 50.0, True)
    assert share.text == "'a\\u0301'"
    assert "COMBINING ACUTE ACCENT" in share.named


def test_the_section_writes_invisible_signs_out_and_escapes_what_it_is_given(tmp_path):
    page = str(section([result(tmp_path, document=document())], tmp_path))
    assert "\u0301" not in page
    assert "\\u0301" in page
    assert "marks &lt;b&gt; apart" in page
    assert "unexplained" not in page


def test_what_no_correction_explains_is_marked(tmp_path):
    page = str(section([result(tmp_path, document=document(explained=False), verdict="diverge")], tmp_path))
    assert "<b>unexplained</b>" in page
    assert 'class="off"' in page


def test_of_two_runs_of_a_pair_the_larger_is_shown(tmp_path):
    few, many = document(), document()
    many["tokenizers"] = {**many["tokenizers"], "texts": 5065}
    page = str(section([result(tmp_path, "few", few), result(tmp_path, "many", many)], tmp_path))
    assert page.count("A toy of words") == 1
    assert "5,065" in page


def test_causes_stand_below_with_their_rows(tmp_path):
    row = {"id": "toy-marks", "kind": "defect", "cause": "marks are apart", "where": "toy.py:1"}
    known = result(tmp_path, "marks", {"register": [row]}, verdict="diverge", registered=("toy-marks",))
    page = str(section([result(tmp_path, document=document()), known], tmp_path)).replace("<wbr>", "")
    assert "arks are apart" in page
    assert "toy.py:1" in page


def test_nothing_is_shown_of_other_results(tmp_path):
    assert str(section([result(tmp_path, document={"text": "x"})], tmp_path)) == ""
    assert str(section([], tmp_path)) == ""
