"""The smallest repro: a folder with a module alone, its least input, and a script that needs nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Recipe
from harness.errors import SpecError, closest
from harness.files import write_atomic
from harness.parity.least import Pair, Shown, least, measured, pair_of, typed
from harness.parity.script import FAULTY, script
from harness.parity.specimen import Specimen

SECONDS = 180.0
"""How long a script may take: it imports up to two frameworks, and runs one module."""


@dataclass(frozen=True, slots=True)
class Repro:
    """What was written. reproduces: whether the script, run by itself, showed the fault; said: what it printed, or why
    there is no script. files: in the folder, the script first.
    """

    folder: Path
    module: str
    reproduces: bool
    said: str
    files: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    runs: int = 0
    specimen: Specimen | None = None

    def __str__(self) -> str:
        name = self.module or "the model itself"
        if not self.files:
            return f"no repro of {name}: {self.said}"
        if not self.reproduces:
            return f"{self.folder}: DOES NOT REPRODUCE the fault of {name}: {self.said}"
        lines = [f"{self.folder}: {self.files[0]} shows the fault of {name} by itself:"]
        return "\n".join([*lines, *(f"  {line}" for line in self.said.splitlines())])


def save(specimens: Sequence[Specimen], folder: Path, *, module: str | None = None) -> Repro:
    """Write the repro of a module at fault, by default of the first, and run its script once.

    Raises:
        SpecError: there is no such module at fault. RecordError: the folder cannot be written.
    """
    specimen = _chosen(specimens, module)
    if specimen.port is None or specimen.port.recipe is None:
        return Repro(folder, specimen.fault.path, False, specimen.why_not, specimen=specimen)
    if specimen.port.large:
        why = "its weights are too many to be kept beside every check"
        return Repro(folder, specimen.fault.path, False, why, specimen=specimen)
    pair = pair_of(specimen)
    shown = least(pair)
    if shown is None:
        why = "; ".join(pair.notes) or "built anew, the module is right: the fault is in how this one was set up"
        return Repro(folder, specimen.fault.path, False, why, specimen=specimen)
    double, rounding, shown = measured(pair, shown)
    title = _title(specimen)
    files = _arrays(pair, shown, double=double)
    text = script(
        title,
        _recipes(pair),
        LOAD_BOTH.replace("FORM", specimen.form or "") if pair.reference is not None else LOAD_PORT,
        double=double,
        rounding=rounding,
        valid="valid" in files["inputs"],
    )
    write_atomic(folder / "repro.py", text)
    for name, arrays in files.items():
        _save(folder / f"{name}.safetensors", arrays)
    found = verified(folder / "repro.py")
    names = ("repro.py", *(f"{name}.safetensors" for name in files), "README.md")
    made = Repro(folder, specimen.fault.path, *found, names, shown.right.shape, pair.runs, specimen)
    write_atomic(folder / "README.md", _readme(title, made, pair))
    return made


def verified(path: Path) -> tuple[bool, str]:
    """Whether the script shows the fault where nothing of ours can be imported; and what it said."""
    start = "import sys, runpy; sys.modules['harness'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    command = [sys.executable, "-I", "-c", start, str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False, f"the script did not end within {SECONDS:.0f} seconds"
    said = done.stdout.strip()
    if done.returncode == 1 and said.endswith(FAULTY):
        return True, said
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    return False, said if done.returncode == 0 else f"the script ended with {last}"


def _chosen(specimens: Sequence[Specimen], module: str | None) -> Specimen:
    if not specimens:
        raise SpecError("repro", "no module is known to be at fault", todo="Look at what the check says.")
    found = [each for each in specimens if module is None or module in (each.fault.path, each.fault.port_path)]
    if not found:
        known = [each.fault.path for each in specimens]
        raise SpecError("repro", f"no repro was kept of module {module!r}", todo=closest(str(module), known))
    return found[0]


LOAD_BOTH = """
FOLDER = Path(__file__).resolve().parent
inputs = load_file(FOLDER / "inputs.safetensors")
got = port(load_file(FOLDER / "port.safetensors"), part(inputs, "port."))
right = reference(load_file(FOLDER / "reference.safetensors"), part(inputs, "reference."))FORM
"""

LOAD_PORT = """
FOLDER = Path(__file__).resolve().parent
inputs = load_file(FOLDER / "inputs.safetensors")
got = port(load_file(FOLDER / "port.safetensors"), part(inputs, "port."))
right = inputs["expected"]  # what the reference puts out
"""


def _recipes(pair: Pair) -> list[tuple[str, Recipe]]:
    port, reference = pair.specimen.port, pair.specimen.reference
    found = [("reference", reference.recipe)] if pair.reference is not None and reference is not None else []
    return [(name, recipe) for name, recipe in [*found, ("port", port.recipe if port else None)] if recipe is not None]


def _title(specimen: Specimen) -> str:
    recipe = specimen.port.recipe if specimen.port else None
    why = f"{specimen.cause.name}: {specimen.cause.detail}" if specimen.cause else specimen.fault.how
    return f"{recipe.called if recipe else specimen.fault.kind}, {why}"


def _arrays(pair: Pair, shown: Shown, *, double: bool) -> dict[str, dict[str, Array]]:
    specimen = pair.specimen
    inputs: dict[str, Any] = {f"port.{name}": leaf for name, leaf in shown.port.items()}
    inputs |= {f"reference.{name}": leaf for name, leaf in shown.reference.items()}
    inputs["expected"] = shown.right
    if not shown.valid.all():
        inputs["valid"] = shown.valid
    files: dict[str, Mapping[str, Any]] = {"inputs": inputs}
    for name, side in (("reference", specimen.reference), ("port", specimen.port)):
        if side is not None and side.recipe is not None and not side.large:
            files[name] = side.recipe.weights
    return {name: typed(arrays, double=double) for name, arrays in files.items()}


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    from safetensors.numpy import save

    # The library writes an array that is not contiguous wrongly, without a word.
    write_atomic(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _readme(title: str, made: Repro, pair: Pair) -> str:
    files = {
        "inputs.safetensors": "the least input that shows the fault, and the reference's output as `expected`",
        "port.safetensors": "weights of the port's module",
        "reference.safetensors": "weights of the reference's module",
    }
    listed = "\n".join(f"- `{name}`: {files[name]}" for name in made.files if name in files)
    ran = "`python repro.py` needs nothing else, and exits with 1 while the fault is there, 0 when it is mended."
    status = f"{ran} It was run once, and printed:\n\n```text\n{made.said}\n```"
    if not made.reproduces:
        status = f"**It does not reproduce the fault**: {made.said}"
    why = f"\n\nThe script does not run the reference ({pair.why_not}): its output is in the file."
    why = why if pair.why_not else ""
    return f"# {title}\n\n{status}\n\n{listed}{why}\n"
