"""The dashboard of 200 nights shows what was planted in them, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.files import write_folder
from harness.report.dashboard import Story, build, story
from harness.report.nights import read_nights
from suites.benchmarks.history_nights import PROCESSOR, Planted, write
from suites.selftest.report_runs import HOSTILE, result, write_run
from suites.selftest.test_report_page import parse

PLANTED = Planted()


@pytest.fixture(scope="session")
def told(nights: Path) -> Story:
    return story(read_nights(nights))


def number(told: Story, night: int) -> int:
    """The planted night's number among those that can be read."""
    return next(place for place, found in enumerate(told.nights) if found.id == f"night{night:04d}")


class TestWhatWasPlanted:
    def test_the_broken_file_is_told_and_the_rest_is_there(self, told: Story) -> None:
        assert len(told.nights) == PLANTED.nights - 1
        assert [each.place for each in told.unreadable] == [f"night-{PLANTED.broken:04d}/run.json"]

    def test_a_clock_that_is_a_year_behind_moves_no_night(self, told: Story) -> None:
        assert [night.id for night in told.nights] == sorted(night.id for night in told.nights)
        assert [night.id for night in told.nights if night.clock_differs] == [f"night{PLANTED.late:04d}"]

    def test_the_steps_and_no_others(self, told: Story) -> None:
        found = {course.key[1]: step for course in told.courses for step in course.steps}
        assert set(found) == set(PLANTED.steps)
        assert sum(len(course.steps) for course in told.courses) == len(PLANTED.steps)
        for case, (night, ratio) in PLANTED.steps.items():
            assert abs(found[case].after - number(told, night)) <= 2
            assert found[case].change.ratio == pytest.approx(ratio, abs=0.04)
        assert [course.key[1] for course, _ in told.news.steps] == ["case-020"]

    def test_another_machine_begins_a_series_and_is_no_step(self, told: Story) -> None:
        machine = number(told, PLANTED.machine or 0)
        for course in told.courses:
            if course.key[0] == "benchmarks":
                one, other = course.series
                assert (one.context.processor, other.nights[0]) == (PROCESSOR, machine)

    def test_the_divergences_and_when_they_were_mended(self, told: Story) -> None:
        found = {course.key[1]: (spell.first, spell.mended_on) for course in told.courses for spell in course.spells}
        last = PLANTED.nights - 1
        assert found == {
            case: (number(told, first), None if until == last else number(told, until + 1))
            for case, (first, until) in PLANTED.off.items()
        }
        assert [course.key[1] for course in told.news.appeared] == ["case-002"]
        assert [course.key[1] for course in told.news.mended] == ["case-005"]

    def test_the_new_version(self, told: Story) -> None:
        assert told.news.environment == {"packages / torch": ("2.13.0", "2.14.0")}

    def test_nights_without_a_fault_show_none(self, tmp_path: Path) -> None:
        quiet = Planted(nights=60, cases=12, steps={}, off={}, broken=None, machine=None, torch=None, late=None)
        found = story(read_nights(write(tmp_path, quiet, seed=1)))
        assert (found.news.appeared, found.news.mended, found.news.environment, found.unreadable) == ((), (), {}, ())
        assert [step for course in found.courses for step in course.steps] == []


class TestPages:
    def test_the_start_page_says_so(self, site: Path) -> None:
        text = parse((site / "index.html").read_text(encoding="utf-8")).text
        for words in ("1 new divergence", "case-002", "1 mended", "case-005", "1 speed step", "case-020", "2.14.0"):
            assert words in text
        assert f"night-{PLANTED.broken:04d}/run.json" in text

    def test_the_news_are_an_issue_s_worth_of_markdown(self, site: Path) -> None:
        text = (site / "news.md").read_text(encoding="utf-8")
        for line in ("## New", "- diverge: `parity case-002 forward`. the output is off", "## Mended", "## Speed"):
            assert line in text
        assert "- packages / torch: 2.13.0 to 2.14.0" in text

    def test_the_step_has_its_commits(self, told: Story, site: Path) -> None:
        step = next(step for course, step in told.news.steps if course.key[1] == "case-020")
        before, after = told.nights[step.before].commit[:10], told.nights[step.after].commit[:10]
        assert f"{before}..{after}" in (site / "index.html").read_text(encoding="utf-8")

    def test_every_link_leads_somewhere(self, site: Path) -> None:
        for page in site.rglob("*.html"):
            for link in parse(page.read_text(encoding="utf-8")).all("a"):
                target = (link["href"] or "").split("#")[0]
                assert not target or (page.parent / target).is_file(), f"{page}: {target}"

    def test_a_result_leads_to_the_others_of_its_case(self, site: Path) -> None:
        page = next(site.glob("case/parity-case-003-*"))
        links = [link["href"] for link in parse(page.read_text(encoding="utf-8")).all("a")]
        (other,) = site.glob("case/benchmarks-case-003-*")
        assert f"../case/{other.name}" in links

    def test_a_run_has_its_environment_and_both_logs(self, site: Path) -> None:
        page = next(site.glob("run/night-0150-*"))
        text = parse(page.read_text(encoding="utf-8")).text
        for words in ("Another processor", "Successfully installed torch", "the run of night 150"):
            assert words in text

    def test_names_that_mean_harm_stay_text(self, tmp_path: Path) -> None:
        lines = [result(HOSTILE, "diverge", suite=HOSTILE, check=HOSTILE, reason=HOSTILE, repeat=HOSTILE)]
        write_run(tmp_path / "nights" / "one", *lines)
        (tmp_path / "nights/one/pytest.log").write_text(HOSTILE)
        site = write_folder(tmp_path / "site", build(story(read_nights(tmp_path / "nights"))), mark="dashboard.json")
        for page in [*site.rglob("*.html"), *site.glob("data/*")]:
            text = page.read_text(encoding="utf-8")
            assert "<script>alert" not in (text if page.suffix == ".html" else ""), page
            assert "\u202e" not in text


class TestCommand:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness", "dashboard", *arguments], capture_output=True, text=True
        )

    def test_json_alone_on_standard_output(self, nights: Path, tmp_path: Path) -> None:
        done = self.run(str(nights), "--out", str(tmp_path / "site"), "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["nights"], told["new"]) == (0, 199, [["parity", "case-002", "forward"]])

    def test_it_is_written_again_but_over_nothing_else(self, nights: Path, tmp_path: Path) -> None:
        site = tmp_path / "site"
        assert self.run(str(nights), "--out", str(site)).returncode == 0
        done = self.run(str(nights), "--out", str(site))
        assert (done.returncode, "1 new, 1 mended, 1 speed step" in done.stdout) == (0, True)
        assert [path.name for path in tmp_path.iterdir()] == ["site"]
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/file").write_text("kept")
        done = self.run(str(nights), "--out", str(tmp_path / "mine"))
        assert (done.returncode, "holds other things" in done.stderr) == (3, True)
        assert (tmp_path / "mine/file").read_text() == "kept"

    def test_a_site_among_the_runs_is_misuse(self, nights: Path) -> None:
        done = self.run(str(nights), "--out", str(nights / "site"))
        assert (done.returncode, "overlaps the runs" in done.stderr) == (2, True)

    def test_a_page_that_fails_leaves_the_old_site(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "site", [("mark", "old")], mark="mark")

        def broken():
            yield "mark", "new"
            raise RecordError("a page", "failed", todo="")

        with pytest.raises(RecordError, match="failed"):
            write_folder(tmp_path / "site", broken(), mark="mark")
        assert (tmp_path / "site/mark").read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["site"]
