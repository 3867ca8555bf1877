"""The dashboard in a headless Chromium: offline, without complaint, by keyboard, at phone width, in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites.dashboard.chromium import Page

PAGES = (
    "index.html",
    "cases.html",
    "runs.html",
    "diary.html",
    "compare.html",
    "case/parity-*",
    "case/benchmarks-*",
    "run/*",
)
PHONE, DESK = 390, 1200


def page_of(site: Path, pattern: str) -> Path:
    return sorted(site.glob(pattern))[0]


@pytest.mark.slow
def test_a_browser_is_there_where_slow_tests_run(browser: Page) -> None:
    """The other tests are skipped without one; this one then fails `tox run -e slow`."""
    assert browser.evaluate("navigator.userAgent")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("pattern", PAGES)
def test_it_opens_offline_without_complaint(
    pattern: str, width: int, dark: bool, site: Path, browser: Page, tmp_path: Path
) -> None:
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page_of(site, pattern), width=width, dark=dark)
    browser.until(
        "document.getElementById('beside') === null || document.querySelectorAll('#beside table').length === 2"
    )
    assert [request for request in browser.requests if not request.startswith("file:///")] == []
    assert browser.complaints == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background.strip("rgb()").split(","))) < 200) == dark
    assert browser.screenshot(tmp_path / "page.png").stat().st_size > 5000


def test_a_request_and_an_error_would_be_seen(tmp_path: Path, browser: Page) -> None:
    """The tests above can fail."""
    file = tmp_path / "bad.html"
    file.write_text('<body><img src="http://127.0.0.1:9/x.png"><script>undefined.x</script>')
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(file)
    assert "http://127.0.0.1:9/x.png" in browser.requests
    browser.until("true")
    assert any("TypeError" in complaint for complaint in browser.complaints)
    browser.open(Path("/dev/null"))
    browser.complaints.clear()


def test_the_keyboard_reaches_the_links_and_the_filter(site: Path, browser: Page) -> None:
    browser.open(site / "cases.html")
    browser.press("Tab", code=9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(8):
        browser.press("Tab", code=9)
        reached.append(browser.evaluate("document.activeElement.dataset.filter || document.activeElement.textContent"))
    assert reached[:5] == ["Today", "Results", "Runs", "Diary", "Side by side"]
    assert reached[5:8] == ["text", "standing", "suite"]
    browser.open(site / "index.html")
    for _ in range(2):
        browser.press("Tab", code=9)
    for _ in range(1):
        browser.press("Tab", code=9)
    browser.press("Enter", code=13, text="\r")
    browser.until("location.pathname.endsWith('cases.html')")


def test_filters_live_in_the_address(site: Path, browser: Page) -> None:
    browser.open(site / "cases.html", address="#standing=off")
    shown = "[...document.querySelectorAll('tbody tr:not([hidden]) th a')].map((link) => link.textContent)"
    assert browser.evaluate(shown) == ["case-002", "case-007"]
    browser.evaluate("document.querySelector('[data-filter=text]').focus()")
    browser.press("7", code=55, text="7")
    assert browser.evaluate(shown) == ["case-007"]
    assert browser.evaluate("location.hash") == "#standing=off&text=7"
    browser.open(site / "index.html")
    browser.open(site / "cases.html", address="#news=mended")
    assert browser.evaluate(shown) == ["case-005"]


def test_two_runs_side_by_side(site: Path, browser: Page) -> None:
    names = [next(site.glob(f"run/night-{night:04d}-*")).stem for night in (20, 199)]
    browser.open(site / "compare.html", address=f"#a={names[0]}&b={names[1]}")
    browser.until("document.querySelectorAll('#beside table').length === 2")
    told = browser.evaluate("document.getElementById('beside').innerText")
    for words in ("packages / torch\t2.13.0\t2.14.0", "parity case-002 forward\tagree\tdiverge"):
        assert words in told
    assert "case-005" not in told
    assert "parity case-003 forward" not in told
    browser.evaluate("document.querySelector('[data-everything]').click()")
    browser.until("document.getElementById('beside').innerText.includes('parity case-003 forward')")
    assert browser.evaluate("location.hash").endswith("&everything=1")


def test_on_a_phone_every_cell_says_what_it_is(site: Path, browser: Page) -> None:
    """The heads of the columns are out of sight there."""
    browser.open(site / "runs.html", width=PHONE)
    shown = "getComputedStyle(document.querySelector('tbody td:nth-of-type(3)'), '::before').content"
    assert browser.evaluate(shown) == '"To look at "'
    browser.open(site / "runs.html", width=DESK)
    assert browser.evaluate(shown) == "none"


def test_a_log_is_searched(site: Path, browser: Page) -> None:
    browser.open(page_of(site, "run/*"))
    browser.evaluate("document.querySelector('[data-lines=text-run]').focus()")
    browser.press("n", code=78, text="n")
    browser.press("i", code=73, text="i")
    assert browser.evaluate("document.getElementById('text-run').textContent") == "the run of night 0"
    assert "Collecting" in browser.evaluate("document.getElementById('text-installation').textContent")


def test_charts_can_be_zoomed_where_the_library_is_and_read_where_no_script_runs(site: Path, browser: Page) -> None:
    pytest.importorskip("dygraphs", reason="needs dygraphs 0.0.14, which is not installed")
    page = page_of(site, "case/benchmarks-case-003*")
    browser.open(page)
    assert browser.evaluate("document.querySelectorAll('.chart canvas').length") >= 2
    browser.tell("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(page)
        root = browser.tell("DOM.getDocument", {"depth": -1})["root"]["nodeId"]
        paths = browser.tell("DOM.querySelectorAll", {"nodeId": root, "selector": ".chart svg path"})["nodeIds"]
        assert len(paths) >= 4
    finally:
        browser.tell("Emulation.setScriptExecutionDisabled", {"value": False})
