"""A script that shows a divergence of twins with nothing but their library, and the folder that an issue is made of."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.adapters.protocols import Array, UnsupportedError
from harness.environment import versions
from harness.equivalence.claims import claim_of
from harness.equivalence.family import Family, Head, Varied
from harness.equivalence.fields import check_name, merged, nested, values_of
from harness.equivalence.forward import WAYS, shape_of
from harness.equivalence.inputs import make
from harness.errors import SpecError
from harness.files import write_atomic
from harness.parity.repro import Repro, verified
from harness.parity.script import JUDGE, WIDTH, wrapped
from harness.register import Row

ROUNDING = 1e-5
"""Times the largest value: more than rounding does to such small models in float32, less than the divergences."""

PACKAGES = ("transformers", "torch", "jax", "jaxlib", "flax", "numpy")

DRAWN = """
def drawn(shape, generator):
    # The default initialisation is so small, and its biases so neutral, that most differences hide.
    values = generator.normal(size=shape).astype("float32")
    fan = values.size / max(shape[0], shape[-1])
    return values / np.float32(fan**0.5) if len(shape) > 1 else 1 + np.float32(0.3) * values

"""

TO_FLAX = """
reference = REFERENCE(CONFIG).eval()
generator = np.random.default_rng(0)
with torch.no_grad():
    for each in reference.parameters():
        if each.requires_grad and each.ndim:
            each.copy_(torch.from_numpy(drawn(tuple(each.shape), generator)))
with tempfile.TemporaryDirectory() as folder:
    reference.save_pretrained(folder)
    port = PORT.from_pretrained(folder, from_pt=TrueSHAPE)
"""

FROM_FLAX = """
config = CONFIG
port = PORT(configSHAPE)
generator = np.random.default_rng(0)
port.params = jax.tree.map(lambda each: drawn(each.shape, generator) if each.ndim else each, port.params)
reference = REFERENCE(config).eval()
with tempfile.TemporaryDirectory() as folder:
    port.save_pretrained(folder)
    reference = load_flax_checkpoint_in_pytorch_model(reference, folder + "/flax_model.msgpack").eval()
"""

RUN = """
inputs = INPUTS
with torch.no_grad():
    right = reference(**{name: torch.from_numpy(array) for name, array in inputs.items()})["OUTPUT"].numpy()
got = np.asarray(port(**inputs)["OTHER"])VALID
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a script is written for. settings: of the configuration. way: one of `WAYS`."""

    family: Family
    head: Head
    settings: Mapping[str, Any]
    way: str
    inputs: str
    output: str


def save(row: Row, families: Sequence[Family], folder: Path) -> Repro:
    """Write the script for the first subject of the row that can be shown so, run it once, and note what came of it.

    Raises:
        SpecError: no subject is one of twins. RecordError: the folder cannot be written.
    """
    why = "it has no subject"
    for subject in row.subjects:
        try:
            shown = _shown(subject, families)
            text = written(shown, title=f"{shown.head.port_name}: {row.cause}")
        except UnsupportedError as error:
            why = str(error)
            continue
        write_atomic(folder / "repro.py", text)
        reproduces, said = verified(folder / "repro.py")
        made = Repro(folder, row.module, reproduces, said, ("repro.py", "repro.json"))
        record = made.to_dict() | {
            "schema": 1,
            "called": shown.head.port_name,
            "where": row.where,
            "cause": "",
            "detail": "",
            "said_standalone": "",
            "versions": versions(PACKAGES),
        }
        write_atomic(folder / "repro.json", json.dumps(record, indent=2) + "\n")
        return made
    return Repro(folder, row.module, False, f"there is no script for it: {why}")


def written(shown: Shown, *, title: str) -> str:
    """The script.

    Raises:
        UnsupportedError: the inputs cannot be written down.
    """
    from harness.adapters.transformers import twins as library

    config = library.configuration(shown.family.configuration, shown.settings)
    call = make(shown.inputs, library.settings_of(config))
    call = {name: array for name, array in call.items() if name in library.arguments_of(shown.head.reference)}
    names = [shown.family.configuration, shown.head.reference, shown.head.port_name]
    imports = ["import sys", "import tempfile", "", *(["import jax"] if shown.way == "from_flax" else [])]
    imports += ["import numpy as np", "import torch", f"from transformers import {', '.join(names)}"]
    if shown.way == "from_flax":
        imports.append("from transformers.modeling_flax_pytorch_utils import load_flax_checkpoint_in_pytorch_model")
    settings = ", ".join(f"{name}={value!r}" for name, value in shown.settings.items())
    shape = "".join(f", {name}={value!r}" for name, value in shape_of(call).items())
    mask = next((name for name in _masks(call) if name.startswith("decoder_")), next(iter(_masks(call)), ""))
    chosen = f'\nright, got = (each[inputs["{mask}"] > 0] for each in (right, got))' if mask else ""
    body = (TO_FLAX if shown.way == "to_flax" else FROM_FLAX) + RUN
    for word, text in (
        ("REFERENCE", shown.head.reference),
        ("PORT", shown.head.port_name),
        ("CONFIG", f'{shown.family.configuration}({settings}, attn_implementation="eager")'),
        ("SHAPE", shape),
        ("INPUTS", f"{{{', '.join(f'{name!r}: {_literal(array)}' for name, array in call.items())}}}"),
        ("OUTPUT", shown.output),
        ("OTHER", shown.head.outputs.get(shown.output, shown.output)),
        ("VALID", chosen),
    ):
        body = body.replace(word, text)
    seen = "Seen with " + ", ".join(f"{name} {version}" for name, version in versions(PACKAGES).items()) + "."
    head = f'"""{textwrap.fill(title, WIDTH)}\n\n{seen}\n"""\n\n' + "\n".join(imports)
    lines = "\n".join(wrapped(line) for line in body.strip().splitlines())
    rounding = f"ROUNDING = {ROUNDING:.0e}  # times the largest value: what rounding may change in float32"
    return f"{head}\n\n{rounding}\n\n{DRAWN}\n{lines}\n{JUDGE.replace('VALID', 'True')}"


def _shown(subject: str, families: Sequence[Family]) -> Shown:
    """What the subject is about, and the output that shows it.

    Raises:
        UnsupportedError: it is not about a forward pass, or a side raises.
    """
    claim_of(subject, families)
    family, head = next((f, h) for f in families for h in f.head if subject.startswith(f"{f.id}.{h.reference}."))
    check = subject.removeprefix(f"{family.id}.{head.reference}.")
    base, kind = merged(family.base, head.settings), head.inputs or family.inputs
    if check in WAYS:
        return Shown(family, head, base, check, kind, _worst(subject, families))
    found: list[tuple[Varied, Any]] = [each for each in values_of(family) if check_name(*each) == check]
    if not found or found[0][0].run != "forward":
        raise UnsupportedError(f"{check} is not about a forward pass")
    varied, value = found[0]
    settings = merged(base, nested(varied.settings, varied.name, value))
    return Shown(family, head, settings, "to_flax", varied.inputs or kind, _worst(subject, families))


def _worst(subject: str, families: Sequence[Family]) -> str:
    outcome = claim_of(subject, families)()
    if not outcome.worst:
        raise UnsupportedError(outcome.reason or "it agrees")
    return outcome.worst


def _masks(call: Mapping[str, Array]) -> list[str]:
    return [name for name, array in call.items() if name.endswith("attention_mask") and not array.all()]


def _literal(array: Array) -> str:
    if array.dtype.kind == "f":
        return f'np.random.default_rng(0).normal(size={array.shape}).astype("float32")'
    return f"np.array({array.astype(int).tolist() if array.dtype.kind != 'b' else array.tolist()})"


def known(row: Row, families: Sequence[Family]) -> bool:
    """Whether the row is about twins of the table."""
    try:
        claim_of(row.subjects[0], families)
    except SpecError:
        return False
    return True
