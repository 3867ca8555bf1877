"""The smallest repro: a folder with a module alone, its least input, and a script that needs nothing of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Recipe
from harness.errors import BuildError, SpecError, closest
from harness.files import write_atomic
from harness.parity.least import Pair, Shown, least, measured, pair_of, shortened, typed
from harness.parity.loaded import LOAD as LOADED
from harness.parity.loaded import smallest
from harness.parity.script import FAULTY, packages, script
from harness.parity.specimen import Side, Specimen
from harness.parity.standalone import NoneError, standalone

SECONDS = 180.0
"""How long a script may take: it imports up to two frameworks, and runs one module."""


@dataclass(frozen=True, slots=True)
class Repro:
    """What was written. reproduces: whether the script, run by itself, showed the fault; said: what it printed, or why
    there is no script. files: in the folder, the script first. shape: of the output on the least input; runs: of the
    module, to find that.
    """

    folder: Path
    module: str
    reproduces: bool
    said: str
    files: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    runs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "module": self.module,
            "reproduces": self.reproduces,
            "said": self.said,
            "files": list(self.files),
            "shape": list(self.shape),
            "runs": self.runs,
        }

    def __str__(self) -> str:
        name = self.module or "the model itself"
        if not self.files:
            return f"no repro of {name}: {self.said}"
        if not self.reproduces:
            return f"{self.folder}: DOES NOT REPRODUCE the fault of {name}: {self.said}"
        head = f"{self.folder}: {self.files[0]} shows the fault of {name} by itself:"
        return "\n".join([head, *(f"  {line}" for line in self.said.splitlines())])


def save(specimens: Sequence[Specimen], folder: Path, *, module: str | None = None) -> Repro:
    """Write the repro of a module at fault, by default of the first, and run its script once.

    Raises:
        SpecError: there is no such module at fault. RecordError: the folder cannot be written.
    """
    specimen = _chosen(specimens, module)
    path = specimen.fault.path
    if specimen.port is None or specimen.port.recipe is None:
        return Repro(folder, path, False, specimen.why_not)
    if specimen.loading is not None and (by_loading := smallest(specimen.loading, specimen.output)):
        recipe, rounding = by_loading
        title = _title(specimen, recipe)
        text = script(title, [("", recipe)], LOADED, double=False, rounding=rounding, valid=False)
        return _written(folder, specimen, recipe, {"repro.py": text}, {})
    if specimen.port.large:
        return Repro(folder, path, False, "its weights are too many to be kept beside every check")
    pair = pair_of(specimen)
    shown = least(pair)
    if shown is None:
        why = "; ".join(pair.notes) or "built anew, the module is right: the fault is in how this one was set up"
        return Repro(folder, path, False, why)
    pair = shortened(pair, shown)
    specimen = pair.specimen
    double, rounding, shown = measured(pair, shown)
    assert specimen.port is not None
    assert specimen.port.recipe is not None
    arrays = _arrays(pair, shown, double=double)
    load = LOAD_BOTH.replace("FORM", specimen.form or "") if pair.reference is not None else LOAD_PORT
    title, valid = _title(specimen, specimen.port.recipe), "valid" in arrays["inputs"]
    texts = {"repro.py": script(title, _recipes(pair), load, double=double, rounding=rounding, valid=valid)}
    try:
        recipes, lines = standalone(pair, shown, double=double)
        texts["standalone.py"] = script(title, recipes, lines, double=double, rounding=rounding, valid=False)
    except NoneError as error:
        pair.notes.append(f"there is no script without files: {error}")
    if pair.why_not:
        pair.notes.append(f"the script does not run the reference ({pair.why_not}): its output is in the file")
    return _written(folder, specimen, specimen.port.recipe, texts, arrays, pair, shown)


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


def _written(
    folder: Path,
    specimen: Specimen,
    recipe: Recipe,
    texts: Mapping[str, str],
    arrays: Mapping[str, Mapping[str, Array]],
    pair: Pair | None = None,
    shown: Shown | None = None,
) -> Repro:
    """Write the files, run the scripts, and note what came of it."""
    for name, leaves in arrays.items():
        _save(folder / f"{name}.safetensors", leaves)
    said: dict[str, tuple[bool, str]] = {}
    for name, text in texts.items():
        write_atomic(folder / name, text)
        said[name] = verified(folder / name)
    notes = list(pair.notes) if pair else []
    if not said.get("standalone.py", (True, ""))[0]:
        notes.append("there is no script without files: the fault does not show on drawn numbers")
        (folder / "standalone.py").unlink()
        del said["standalone.py"]
    files = (*said, *(f"{name}.safetensors" for name in arrays), "repro.json", "README.md")
    shape, runs = (shown.right.shape, pair.runs) if shown and pair else ((), 0)
    made = Repro(folder, specimen.fault.path, *said["repro.py"], files, shape, runs)
    cause = specimen.cause
    record = made.to_dict() | {
        "schema": 1,
        "called": recipe.called,
        "where": recipe.where,
        "cause": cause.name if cause else "",
        "detail": cause.detail if cause else specimen.fault.how,
        "said_standalone": said["standalone.py"][1] if "standalone.py" in said else "",
        "versions": packages(
            [line for each in (_recipes(pair) if pair else [("", recipe)]) for line in each[1].imports]
        ),
    }
    write_atomic(folder / "repro.json", json.dumps(record, indent=2) + "\n")
    write_atomic(folder / "README.md", _readme(_title(specimen, recipe), made, notes))
    return made


def _chosen(specimens: Sequence[Specimen], module: str | None) -> Specimen:
    if not specimens:
        raise SpecError("repro", "no module is known to be at fault", todo="See what the check says of it.")
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


def _title(specimen: Specimen, recipe: Recipe) -> str:
    cause = specimen.cause
    return f"{recipe.called}, {f'{cause.name}: {cause.detail}' if cause else specimen.fault.how}"


def _arrays(pair: Pair, shown: Shown, *, double: bool) -> dict[str, dict[str, Array]]:
    """What the script reads, by file."""
    reference, port = pair.specimen.reference, pair.specimen.port
    prefixes = tuple(prefix for prefix, _ in reference.makers.values()) if reference else ()
    inputs: dict[str, Any] = {f"port.{name}": leaf for name, leaf in shown.port.items() if _reads(port, name)}
    for name, leaf in shown.reference.items():
        if not name.startswith(prefixes or ("\0",)) and _reads(reference, name):
            inputs[f"reference.{name}"] = leaf
    inputs["expected"] = shown.right
    if not shown.valid.all():
        inputs["valid"] = shown.valid
    files: dict[str, Mapping[str, Any]] = {"inputs": inputs}
    for side_name, side in (("reference", reference), ("port", port)):
        if side is not None and side.recipe is not None and not side.large:
            files[side_name] = side.recipe.weights
    return {name: typed(leaves, double=double) for name, leaves in files.items()}


def _reads(side: Side | None, name: str) -> bool:
    return side is not None and side.recipe is not None and f"inputs[{name!r}]" in side.recipe.text


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise BuildError("repro", "needs the package safetensors", todo="Install it.") from error
    # The library writes an array that is not contiguous wrongly, without a word.
    write_atomic(path, save({name: np.array(array, order="C") for name, array in arrays.items()}))


FILES = {
    "inputs.safetensors": "the least input that shows the fault, and the reference's output as `expected`",
    "port.safetensors": "weights of the port's module",
    "reference.safetensors": "weights of the reference's module",
    "standalone.py": "the same without any file, on numbers that are drawn from a seed",
    "repro.json": "what is said here, for programs",
}


def _readme(title: str, made: Repro, notes: Sequence[str]) -> str:
    ran = "`python repro.py` needs nothing else, and exits with 1 while the fault is there, 0 when it is mended."
    status = f"{ran} It was run once, and printed:\n\n```text\n{made.said}\n```"
    if not made.reproduces:
        status = f"**It does not reproduce the fault**: {made.said}"
    listed = "\n".join(f"- `{name}`: {FILES[name]}" for name in made.files if name in FILES)
    return "\n\n".join([f"# {title}", status, listed, *(f"{note[0].upper()}{note[1:]}." for note in notes)]) + "\n"
