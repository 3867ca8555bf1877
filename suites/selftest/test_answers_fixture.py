"""The fixture `answers` in a repository of its own: what agrees is kept with both answers too."""

import json

TEST = """
from harness.end_to_end.outcome import Step, of_answers

def test_it(answers):
    step = Step("greeting", "text", "greeting: port against original", "original", "port", "say hello")
    answers(of_answers(step, ["hello"], [{said!r}]))
"""


def run(toys, said):
    toys.write("test_it.py", TEST.format(said=said))
    done = toys.pytest("test_it.py", "--report-dir=out")
    (line,) = map(json.loads, (toys.root / "out/results.jsonl").read_text().splitlines())
    return done, line, json.loads((toys.root / "out" / line["files"][0]).read_text())


def test_an_answer_that_agrees_is_recorded_with_what_was_asked(toys):
    done, line, document = run(toys, "hello")
    done.assert_outcomes(passed=1)
    assert (line["case"], line["check"], line["verdict"]) == ("greeting", "text", "agree")
    assert (document["asked"], document["answers"]) == ("say hello", ["hello", "hello"])


def test_another_answer_fails_with_both(toys):
    done, line, _ = run(toys, "goodbye")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*greeting.text: DIVERGE*", "*reference's hello*", "*port's      goodbye*", "*repeat      pytest 'test_it*"]
    )
    assert line["reason"] == "1, where 0 is allowed (answer 0: 'hello' and 'goodbye')"


def test_a_registered_answer_is_expected(toys):
    toys.row("greeting.text", error=1.0)
    done, line, _ = run(toys, "goodbye")
    done.assert_outcomes(xfailed=1)
    assert line["registered"] == ["toy-shift"]
