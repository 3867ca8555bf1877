"""Trace one side of a case under each version that the search asks for, and compare it with the first."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import HarnessError, RunError
from harness.parity.across import compare_across, terms_of
from harness.parity.compare import Verdict
from harness.parity.comparison import Comparison
from harness.parity.stored import Stored, open_trace
from harness.versions.environments import Environment, environment_for
from harness.versions.search import Step


@dataclass(slots=True)
class Versions:
    """Tries versions of a package, each in an environment of its own. traces: of those that could be run, by version.

    folder: where the traces are kept. options: of pip. root: where the case's commands run.
    """

    case: str
    side: str
    package: str
    folder: Path
    root: Path
    options: Sequence[str] = ()
    progress: Callable[[str], None] | None = None
    traces: dict[str, Stored] = field(default_factory=dict)
    changed: dict[str, dict[str, str]] = field(default_factory=dict)

    def attempt(self, version: str) -> Step:
        """Whether the side computes with that version what it does with the first; skipped if it cannot be run."""
        try:
            self._say(f"{self.package} {version}: environment")
            environment = environment_for(self.package, version, options=self.options)
            self.changed[version] = environment.changed
            self._say(f"{self.package} {version}: {self.side}")
            found = self._trace(version, environment)
            first = next(iter(self.traces), None)
            self.traces[version] = found
            if first is None:
                return Step(version, "agrees", "the first")
            comparison = self.compare(first, version)
        except HarnessError as error:
            self.traces.pop(version, None)
            return Step(version, "skipped", f"{error.place}: {error.problem}")
        if comparison.verdict is Verdict.INCONCLUSIVE:
            return Step(version, "skipped", f"inconclusive: {comparison.reason}")
        if comparison.verdict is Verdict.AGREE:
            return Step(version, "agrees")
        return Step(version, "differs", comparison.reason)

    def compare(self, one: str, other: str) -> Comparison:
        """The comparison of the side under one version with itself under another."""
        traces = (self.traces[one], self.traces[other])
        terms = terms_of(traces[0].index.claim, traces[1].index.claim, name=f"{self.case}, {self.side}")
        found = compare_across(*traces, terms)
        models = [f"{trace.index.model}, {self.package} {v}" for trace, v in zip(traces, (one, other), strict=True)]
        return replace(found, reference=models[0], port=models[1])

    def _trace(self, version: str, environment: Environment) -> Stored:
        file = self.folder / f"{self.side}-{self.package}-{version}.safetensors"
        command = [str(environment.python), "-m", "harness", "trace", self.case, "--side", self.side, "-o", str(file)]
        if self.traces:
            first = next(iter(self.traces.values()))
            command += ["--inputs", str(first.path)]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
            why = next((line for line in reversed(said) if line.startswith("harness: ")), said[-1])
            why = why.removeprefix("harness: ").rstrip(".")
            raise RunError(
                f"{self.package} {version}",
                why + (f"; pip warned: {environment.warning}" if environment.warning else ""),
                todo="Choose other versions.",
            )
        return open_trace(file)

    def _say(self, what: str) -> None:
        if self.progress is not None:
            self.progress(what)
