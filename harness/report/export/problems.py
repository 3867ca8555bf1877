"""What is not as it should be, for code hosts: SARIF, and annotations of GitHub's workflows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.report import words
from harness.report.run import Result, Run, succeeded

LEVELS: dict[words.Standing, str] = {"inconclusive": "warning"}
"""Of SARIF and of annotations; all others are errors."""


def sarif(run: Run) -> str:
    """SARIF 2.1.0: a rule for each standing, a result for each that is not as it should be, at its test's file."""
    rules = [{"id": name, "shortDescription": {"text": words.WORDS[name]}} for name in words.STANDINGS[:4]]
    driver = {"name": "parity-harness", "rules": rules}
    told = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_sarif(result) for result in _problems(run)]}],
    }
    return json.dumps(told, indent=1) + "\n"


def annotated(run: Run) -> str:
    """Lines that a workflow of GitHub prints; an empty text where all is well."""
    lines = []
    for result in _problems(run):
        level = LEVELS.get(words.standing(result), "error")
        place = f"file={_property(_file(result))},title={_property(_title(result))}"
        lines.append(f"::{level} {place}::{_data(_message(result))}\n")
    return "".join(lines)


def _problems(run: Run) -> Iterator[Result]:
    return (result for result in run.results if not succeeded(result))


def _sarif(result: Result) -> dict[str, Any]:
    name = words.standing(result)
    place = {"physicalLocation": {"artifactLocation": {"uri": _file(result)}, "region": {"startLine": 1}}}
    return {
        "ruleId": name,
        "level": LEVELS.get(name, "error"),
        "message": {"text": f"{_title(result)}: {_message(result)}"},
        "locations": [place],
        # By which a host knows the same problem again, whatever its error was this time.
        "partialFingerprints": {"claim/v1": "/".join((result.suite, result.case, result.check))},
    }


def _file(result: Result) -> str:
    return words.printable(result.test.split("::")[0]) or "pyproject.toml"


def _title(result: Result) -> str:
    return words.printable(f"{result.case} {result.check}: {words.WORDS[words.standing(result)]}")


def _message(result: Result) -> str:
    error = f" (error {words.number(result.number('error'))})" if result.number("error") is not None else ""
    repeat = f" Repeat: {result.repeat}" if result.repeat else ""
    return words.printable(f"{words.reason(result) or 'no reason given'}{error}.{repeat}")


def _data(text: str) -> str:
    """Escaped as the workflow commands of GitHub want it: a text must not end its line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
