"""The text of a script that shows one module's fault and needs nothing of this project."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from harness.adapters.protocols import Recipe
from harness.environment import versions

FAULTY, MENDED = "the fault is there", "the fault is mended"
"""What a script says last, with exit status 1 and 0."""

FIRST = '''
def first(result):
    """The first array of whatever a module returns."""
    while not hasattr(result, "shape"):
        result = next(iter(result.values() if isinstance(result, dict) else result))
    return result

'''

PART = """
def part(inputs, side):
    return {name.removeprefix(side): array for name, array in inputs.items() if name.startswith(side)}

"""

JUDGE = f'''
valid = VALID
error, scale = np.abs(np.where(valid, got - right, 0)), np.abs(np.where(valid, right, 0)).max()
worst = np.unravel_index(np.nanargmax(error) if np.isfinite(error).any() else 0, error.shape)
print("at index     ", [int(each) for each in worst])
print("reference    ", right[worst])
print("port         ", got[worst])
print("error        ", error.max(), "on values up to", scale)
print("rounding     ", ROUNDING * scale, "at most")
fault = not error.max() <= ROUNDING * scale
print("{FAULTY}" if fault else "{MENDED}")
sys.exit(1 if fault else 0)
'''


def functions(name: str, recipe: Recipe, *, double: bool, importing: bool = False) -> str:
    """The function `name(weights, inputs)` of a recipe; `importing`, with its imports inside."""
    text = (recipe.text64 if double else recipe.text).replace("NAME", name, 1)
    if importing:
        head, _, rest = text.partition("\n")
        own = [f"    {line}" for line in recipe.imports if not line.startswith("import ")]
        text = "\n".join([head, *own, "", rest] if own else [head, rest])
    return "\n".join(wrapped(line) for line in text.splitlines()) + "\n"


WIDTH = 110


def wrapped(line: str) -> str:
    """A long line broken after commas, which are inside brackets or quotes: never in quotes."""
    if len(line) <= WIDTH:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 8)
    parts, rows = line.split(", "), [""]
    for number, part in enumerate(parts):
        quoted = ", ".join(parts[:number]).count("'") % 2 or ", ".join(parts[:number]).count('"') % 2
        piece = part + (", " if number < len(parts) - 1 else "")
        if number and not quoted and len(rows[-1]) + len(piece) > WIDTH:
            rows.append(indent)
        rows[-1] += piece
    return "\n".join(row.rstrip() for row in rows)


def script(
    title: str, recipes: Sequence[tuple[str, Recipe]], load: str, *, double: bool, rounding: float, valid: bool
) -> str:
    """The whole script. recipes: function name and recipe. load: lines that leave `got` and `right`."""
    every = [recipe for _, recipe in recipes]
    imports = {line: None for recipe in every for line in recipe.imports}
    own = [line for line in imports if line.split()[1] in sys.stdlib_module_names]
    imports = {line: None for line in imports if line not in own}
    plain = ["import sys", *own, *(["from pathlib import Path"] if "FOLDER" in load else []), "", "import numpy as np"]
    plain += ["from safetensors.numpy import load_file"] if "load_file" in load else []
    paths = [f"sys.path.insert(0, {folder!r})" for folder in dict.fromkeys(f for each in every for f in each.folders)]
    frameworks = [line for line in imports if line.startswith("import ")]
    clashing = _clashing(every)
    others = [] if clashing else [line for line in imports if not line.startswith("import ")]
    setup = dict.fromkeys(line for each in every if double for line in each.double)
    seen = "Seen with " + ", ".join(f"{name} {version}" for name, version in packages(list(imports)).items()) + "."
    parts = [
        f'"""{textwrap.fill(title, WIDTH)}\n\n{seen}\n"""\n',
        "\n".join([*plain, *sorted(frameworks), *paths, *sorted(others)]),
        "",
        *([*setup, ""] if setup else []),
        f"ROUNDING = {rounding:.1g}  # times the largest value: what rounding may change in {_type(double=double)}",
    ]
    body = "\n\n".join(functions(name, recipe, double=double, importing=clashing) for name, recipe in recipes)
    helper = "\n".join(text for text, name in ((FIRST, "first("), (PART, "part(")) if name in body + load)
    judge = JUDGE.replace("VALID", 'inputs["valid"]' if valid else "True")
    lines = "\n".join(wrapped(line) for line in load.strip().splitlines())
    return "\n".join(parts) + f"\n\n{helper}\n{body}\n\n{lines}\n{judge}"


def _clashing(recipes: Sequence[Recipe]) -> bool:
    """Whether two classes of one name come from two modules, as those of a port and its original may."""
    homes: dict[str, set[str]] = {}
    for line in (line for recipe in recipes for line in recipe.imports if line.startswith("from ")):
        _, home, _, name = line.split()
        homes.setdefault(name, set()).add(home)
    return any(len(found) > 1 for found in homes.values())


def packages(imports: Sequence[str]) -> dict[str, str]:
    """The installed versions of the packages that the lines import."""
    names = {line.split()[1].split(".")[0] for line in imports} | {"numpy"}
    return versions(sorted(names | ({"jaxlib"} if "jax" in names else set())))


def _type(*, double: bool) -> str:
    return "float64" if double else "float32"
