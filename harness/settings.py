"""What a repository says of itself in `[tool.harness]` of its pyproject.toml, or the defaults."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from harness.errors import SpecError, closest
from harness.reader import build, load, specification


@specification
class Profile:
    """A named selection of suites.

    description: for people, in `harness list`.
    suites: folders, files or test ids given to pytest, relative to the root.
    select: a pytest `-m` expression.
    run_slow: whether tests marked slow run.
    isolate: whether every case has a process of its own.
    workers: how many processes share the tests, where pytest-xdist is installed; 0 for none but pytest's own.
    alone: suites that are run after the others, by one process, with nothing beside them: what is timed.
    timeout_seconds: how long an isolated case may take; 0 for as long as it likes.
    """

    suites: tuple[str, ...] = ()
    select: str = ""
    run_slow: bool = False
    isolate: bool = False
    workers: int = 0
    alone: tuple[str, ...] = ()
    timeout_seconds: float = 0.0
    description: str = ""


@specification
class Settings:
    """What a repository says of itself; every path is relative to its root.

    cases, conversions, register: folders of such files. artifacts: the file that pins them.
    families: the folder of the table of twins. tokenizers: that of pairs of tokenizers. tasks: that of zero-shot tasks.
    profiles: name -> a selection of suites.
    sections: suite -> `module:function`, which makes the suite's own section of the report.
    allowed_skips: regular expressions of reasons for which a slow test may be skipped under `--strict-skips`.
    shared: files on which every case depends, as patterns, such as pinned versions; see `harness run --changed`.
    """

    cases: str = "fixtures/cases"
    artifacts: str = "fixtures/artifacts.toml"
    conversions: str = "fixtures/conversions"
    register: str = "fixtures/register"
    families: str = "fixtures/equivalence/families"
    tokenizers: str = "fixtures/tokenizers/pairs"
    tasks: str = "fixtures/zero_shot/tasks"
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    allowed_skips: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


DEFAULT_PROFILES = {
    "quick": Profile(select="not slow", description="every test that is not slow"),
    "slow": Profile(run_slow=True, isolate=True, description="every test, each case in a process of its own"),
}


@specification
class Repository:
    """A folder with its settings."""

    root: Path
    settings: Settings

    @property
    def cases(self) -> Path:
        return self.root / self.settings.cases

    @property
    def artifacts(self) -> Path:
        return self.root / self.settings.artifacts

    @property
    def conversions(self) -> Path:
        return self.root / self.settings.conversions

    @property
    def register(self) -> Path:
        return self.root / self.settings.register

    @property
    def families(self) -> Path:
        return self.root / self.settings.families

    @property
    def tokenizers(self) -> Path:
        return self.root / self.settings.tokenizers

    @property
    def tasks(self) -> Path:
        return self.root / self.settings.tasks

    def profile(self, name: str) -> Profile:
        """The profile called `name`.

        Raises:
            SpecError: there is none; close names are offered.
        """
        profiles = self.profiles()
        if name not in profiles:
            raise SpecError(f"profile {name!r}", f"not known in {self.root}", todo=closest(name, profiles))
        return profiles[name]

    def profiles(self) -> dict[str, Profile]:
        return {**DEFAULT_PROFILES, **self.settings.profiles}


def find_repository(start: Path) -> Repository:
    """The repository around `start`: the nearest folder upwards with a pyproject.toml, else `start` itself.

    Raises:
        SpecError: `[tool.harness]` holds an unknown key or a wrong value, with its line.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            state = file.stat()
            return Repository(root=folder, settings=_settings(file, state.st_mtime_ns, state.st_size))
    return Repository(root=start, settings=Settings())


@functools.lru_cache(maxsize=64)
def _settings(file: Path, _modified: int, _bytes: int) -> Settings:
    """What one file says, read again when it has changed: every test asks for it."""
    table = load(file).get("tool", {}).get("harness", {})
    return build(Settings, table, file=file, at=("tool", "harness"))
