"""The run as JUnit XML, which continuous integration services show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from harness.errors import RecordError
from harness.parity.compare import Verdict
from harness.report.detail import read_detail
from harness.report.run import Result, Run, succeeded
from harness.report.words import headline, printable, reason, verdict_words

NOT_RUN = "not run"
"""The name of the suite that holds the tests that did not run, as no result says which suite they belong to."""


def junit(run: Run, *, folder: Path | None = None) -> str:
    """One testsuite a suite, one testcase a result; `folder` is where the failures' texts lie.

    A result that fails is a <failure>, an inconclusive one an <error>, a registered one <skipped> with its ids and
    reason. Tests that did not run, and tests that failed without a result, have a testsuite of their own.
    """
    root = ElementTree.Element("testsuites", name=legal(headline(run)))
    for name in dict.fromkeys(result.suite for result in run.results):
        suite = ElementTree.SubElement(root, "testsuite", name=legal(name), timestamp=legal(run.started))
        for result in run.results:
            if result.suite == name:
                suite.append(_testcase(result, folder))
    if run.not_run or run.failed:
        suite = ElementTree.SubElement(root, "testsuite", name=NOT_RUN, timestamp=legal(run.started))
        suite.extend(_others(run))
    for element in (root, *root):
        _count(element)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def legal(text: str) -> str:
    """The text without the characters that XML 1.0 forbids, and without terminal escapes."""
    return _ILLEGAL.sub("", printable(text))


_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _testcase(result: Result, folder: Path | None) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=legal(result.suite),
        name=legal(f"{result.case}[{result.check}]"),
        time=f"{result.seconds:.3f}",
    )
    if not succeeded(result):
        kind = "error" if result.verdict is Verdict.INCONCLUSIVE else "failure"
        message = reason(result) or verdict_words(result)
        outcome = ElementTree.SubElement(case, kind, type=result.verdict.value, message=legal(message))
        outcome.text = legal("\n".join(_lines(result, folder)))
    elif result.registered:
        message = f"registered as {', '.join(result.registered)}: {result.reason or verdict_words(result)}"
        ElementTree.SubElement(case, "skipped", message=legal(message))
    return case


def _lines(result: Result, folder: Path | None) -> Iterator[str]:
    try:
        detail = read_detail(folder, result) if folder else None
        yield (detail.text if detail else "") or reason(result)
    except RecordError as error:
        yield str(error)
    if result.registered:
        yield f"registered: {', '.join(result.registered)}"
    if result.repeat:
        yield f"repeat: {result.repeat}"


def _others(run: Run) -> Iterator[ElementTree.Element]:
    for test in run.failed:
        case = _named(test)
        ElementTree.SubElement(case, "error", type="no result", message="the test failed without a result")
        yield case
    for item in run.not_run:
        case = _named(item.test)
        ElementTree.SubElement(case, "skipped", message=legal(item.reason))
        yield case


def _named(test: str) -> ElementTree.Element:
    file, _, name = test.partition("::")
    classname = file.removesuffix(".py").replace("/", ".")
    return ElementTree.Element("testcase", classname=legal(classname), name=legal(name or test), time="0")


def _count(element: ElementTree.Element) -> None:
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
