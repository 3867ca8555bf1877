"""The table of samples: what was asked and both answers, and that nothing breaks it."""

import json

from harness.parity.compare import Verdict
from harness.report.end_to_end import section
from harness.report.run import Result


def result(folder, check, document, *, verdict="agree", registered=(), case="minilm-flax"):
    (folder / "cases").mkdir(exist_ok=True)
    name = f"cases/{case}-{check}.json"
    (folder / name).write_text(json.dumps(document))
    return Result(
        suite="end_to_end",
        case=case,
        check=check,
        title=f"{case}: port against original",
        verdict=Verdict(verdict),
        metrics={"error": 1.5e-6, "limit": 3e-6, "scale": 1.0},
        files=(name,),
        registered=registered,
    )


def test_a_sample_shows_what_was_asked_and_both_answers(tmp_path):
    asked = {"asked": "Rain. <b>", "answers": ["it pours", "it snows"], "worst": "answer 0"}
    text = str(section([result(tmp_path, "text", asked, verdict="diverge")], tmp_path))
    assert "Rain. &lt;b&gt;" in text
    assert "it pours" in text
    assert "it snows" in text
    assert "1.5e-6" in text
    assert "3e-6" in text
    assert 'href="#r-end-to-end-minilm-flax-text"' in text


def test_steps_stand_in_the_order_in_which_they_ran_and_arrays_show_where(tmp_path):
    results = [
        result(tmp_path, "vectors", {"asked": "a", "answers": ["", ""], "worst": "at [0, 1]: 1 and 2"}),
        result(tmp_path, "words", {"asked": "a", "answers": ["sea", "sea"]}, verdict="diverge"),
    ]
    text = str(section(results, tmp_path))
    assert text.index("vectors") < text.index("words")
    assert text.count("<h4>") == 1
    assert "arrays, at [0, 1]: 1 and 2" in text.replace("<wbr>", "")
    assert "the same" in text


def test_the_same_in_words_is_not_the_same_in_arrays(tmp_path):
    document = {"answers": ["mean 0.5", "mean 0.5"], "worst": "at [0]: 1 and 2"}
    for verdict, shown in (("agree", 1), ("diverge", 2)):
        text = str(section([result(tmp_path, "pixels", document, verdict=verdict)], tmp_path))
        assert text.count("mean 0.5") == shown


def test_what_is_known_is_told(tmp_path):
    document = {"answers": ["a", "b"], "register": [{"id": "crop-floor", "cause": "it is rounded", "kind": "defect"}]}
    text = str(section([result(tmp_path, "pixels", document, verdict="diverge", registered=("crop-floor",))], tmp_path))
    assert "it is rounded" in text.lower()
    assert 'href="#d-crop-floor"' in text


def test_without_answers_there_is_no_section(tmp_path):
    damaged = result(tmp_path, "text", {"answers": None})
    assert str(section([damaged], tmp_path)) == ""
    assert str(section([], tmp_path)) == ""
