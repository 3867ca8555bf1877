"""An environment for one version of a package, laid over the present one: only what differs is installed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import harness
from harness.errors import RunError
from harness.files import cache_folder, locked, sha256_of, write_atomic
from harness.versions.pip import install


@dataclass(frozen=True, slots=True)
class Environment:
    """Where it is. changed: package -> version, of those that it does not share. warning: what pip warned of."""

    python: Path
    changed: dict[str, str]
    warning: str


def environment_for(
    package: str, version: str, *, options: Sequence[str] = (), wheel: Path | None = None
) -> Environment:
    """The environment with that version, from the cache or made anew. options: of pip. wheel: the file to install.

    Everything else is shared with the present environment, except what the version needs in another version.

    Raises:
        RunError: it cannot be made, and why.
    """
    asked = [*options, *([sha256_of(wheel)] if wheel else [])]
    folder = cache_folder() / "versions" / f"{package}-{version}-{_present(package, version, asked)}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = folder / "ready.json"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            own = _lay_over(folder)
            warning = install(python, package, version, options=options, wheel=wheel)
            changed = {each.name: each.version for each in metadata.distributions(path=[str(own)])}
            write_atomic(ready, json.dumps({"changed": changed, "warning": warning}))
    found = json.loads(ready.read_text(encoding="utf-8"))
    return Environment(python, found["changed"], found["warning"])


def _lay_over(folder: Path) -> Path:
    """Make an empty environment that finds the packages of the present one behind its own; where its own lie."""
    pip = ["--without-pip"] if find_spec("pip") else []
    done = subprocess.run(
        [sys.executable, "-m", "venv", *pip, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RunError(str(folder), f"no environment can be made there: {done.stdout}{done.stderr}", todo=MEND)
    base = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", scheme="venv", vars=base))
    folders = [str(Path(harness.__file__).parents[1]), *_package_folders()]
    # Not as bare paths: the folders have .pth files of their own, of packages that are installed editable.
    lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in folders)
    write_atomic(own / "zz_present_environment.pth", lines)
    return own


MEND = "Check the folder (HARNESS_CACHE names another) and that `python -m venv` works."


def _package_folders() -> list[str]:
    return [folder for folder in sys.path if Path(folder).is_dir() and any(Path(folder).glob("*.dist-info"))]


def _present(package: str, version: str, options: Sequence[str]) -> str:
    """A short name for the present environment and what is asked: another one after any package has changed."""
    here = sorted(f"{each.name}=={each.version}" for each in metadata.distributions())
    asked = [sys.version, sys.prefix, harness.__file__, here, package, version, list(options)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
