"""What pip knows and does: the releases of a package, and installing one of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RunError, SpecError


def releases(package: str, first: str, last: str, *, options: Sequence[str] = ()) -> list[str]:
    """Both versions and every release between them that pip offers for this Python, oldest first.

    Pre-releases only if one of the two is one. options: of pip, such as `--find-links DIR`.

    Raises:
        SpecError: one of the two is no version, or they are not in order.
        RunError: pip knows no such package.
    """
    from packaging.version import InvalidVersion, Version

    ends: list[Version] = []
    for text in (first, last):
        try:
            ends.append(Version(text))
        except InvalidVersion:
            raise SpecError(package, f"{text!r} is no version", todo="Give two, such as 4.57.6 5.0.0.") from None
    if ends[0] >= ends[1]:
        raise SpecError(package, f"{first} is not older than {last}", todo="Give the older version first.")
    early = any(end.is_prerelease for end in ends)
    offered = [Version(text) for text in _offered(package, early=early, options=options)]
    between = {each for each in offered if ends[0] < each < ends[1] and (early or not each.is_prerelease)}
    return [first, *(str(each) for each in sorted(between)), last]


def install(python: Path, package: str, version: str, *, options: Sequence[str] = (), wheel: Path | None = None) -> str:
    """Install the version with what it needs changed into the environment of `python`; what pip then warns of.

    wheel: the file that holds it; without one, pip looks for it.

    Raises:
        RunError: pip refused; with the requirements that conflict.
    """
    what = str(wheel) if wheel else f"{package}=={version}"
    done = _pip(python, ["install", "--no-input", "--progress-bar=off", what, *options])
    if done.returncode != 0:
        raise RunError(f"{package} {version}", f"cannot be installed: {_why(done)}", todo="Choose another version.")
    return complaint(done.stderr)


def complaint(text: str) -> str:
    r"""What pip complains of, without its advice, in one line.

    >>> complaint("Hint: rest\nERROR: Cannot install a==2 because of b\n\nTo fix this you could try to:\n1. loosen")
    'Cannot install a==2 because of b'
    """
    lines = [line.strip() for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if line.startswith("ERROR:")), len(lines))
    kept = []
    for line in lines[start:]:
        if line.startswith(("To fix this", "ERROR: ResolutionImpossible", "Additionally", "[notice]")):
            break
        kept.append(line.removeprefix("ERROR:").strip())
    return " ".join(line for line in kept if line)


def _offered(package: str, *, early: bool, options: Sequence[str]) -> list[str]:
    done = _pip(Path(sys.executable), ["index", "versions", package, *(["--pre"] if early else []), *options])
    found = re.search(r"^Available versions: (.+)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise RunError(package, f"pip lists no versions of it: {_why(done)}", todo="Check the name.")
    return found[1].split(", ")


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """What pip, or Python before it came to pip, gave as the reason."""
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return complaint(done.stderr) or (said[-1] if said else f"status {done.returncode}")


def _pip(python: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # Constraints of this environment name the very version that is to be another one.
    variables = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
