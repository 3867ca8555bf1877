"""A script that shows a divergence of twins with nothing but their library, and the folder that an issue is made of."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.adapters.drawn import drawn
from harness.adapters.protocols import Array, UnsupportedError, Writing
from harness.environment import versions
from harness.equivalence.claims import claim_of
from harness.equivalence.family import Family, Head
from harness.equivalence.fields import STEPS as FIELD_STEPS
from harness.equivalence.fields import check_name, merged, nested, values_of
from harness.equivalence.forward import WAYS, shape_of
from harness.equivalence.generating import WRITING, calls_of, how_to_write
from harness.equivalence.inputs import make, padding_of, with_padding_seen
from harness.equivalence.templates import (
    ATTEMPT,
    DRAWN,
    FROM_FLAX,
    PADDED,
    REFUSED,
    ROUNDING,
    RUN,
    SAID,
    TO_FLAX,
    WRITTEN,
)
from harness.errors import SpecError
from harness.files import write_atomic
from harness.parity.compare import Verdict
from harness.parity.repro import Repro, verified
from harness.parity.script import JUDGE, WIDTH, wrapped
from harness.register import Row

ENDS = (1, 2)
"""Tokens that end a text, where two are asked for."""

LOADING = "load_flax_checkpoint_in_pytorch_model"
"""The function of transformers with which PyTorch reads a Flax file."""

PACKAGES = ("transformers", "torch", "jax", "jaxlib", "flax", "numpy")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a script is written for.

    settings: of the configuration. way: one of `WAYS`. call: what they are given. output: that differs. raises: the
    side that does, where one does. how: what `generate` is asked for, where both write. padding: the token whose row
    of the table has a gradient.
    """

    family: Family
    head: Head
    settings: Mapping[str, Any]
    way: str
    call: Mapping[str, Array]
    output: str = ""
    raises: str = ""
    how: Mapping[str, Any] | None = None
    padding: int | None = None

    @property
    def judged(self) -> bool:
        """Whether two arrays are compared in the end."""
        return bool(self.output) or self.padding is not None


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
    """The script."""
    settings = ", ".join(f"{name}={_as_given(value)!r}" for name, value in shown.settings.items())
    shape = "".join(f", {name}={value!r}" for name, value in shape_of(shown.call).items())
    mask = next(
        (name for name in _masks(shown.call) if name.startswith("decoder_")), next(iter(_masks(shown.call)), "")
    )
    chosen = f'\nright, got = (each[inputs["{mask}"] > 0] for each in (right, got))' if mask else ""
    parts = _parts(shown)
    made = "PORT(configuration()SHAPE)"
    if shown.raises != "reference":
        made = "PORT.from_pretrained(folder, from_pt=True, config=configuration()SHAPE)"
    for word, text in (
        ("PORT_MADE", made),
        ("PADDING", str(shown.padding)),
        ("REFERENCE", shown.head.reference),
        ("PORT", shown.head.port_name),
        ("CONFIG", f'{shown.family.configuration}({settings}, attn_implementation="eager")'),
        ("SHAPE", shape),
        ("INPUTS", f"{{{', '.join(f'{name!r}: {_literal(array)}' for name, array in shown.call.items())}}}"),
        ("OUTPUT", shown.output),
        ("OTHER", shown.head.outputs.get(shown.output, shown.output)),
        ("VALID", chosen),
        ("HOW", repr(shown.how)),
        ("RAISES", "right" if shown.raises == "reference" else "got"),
        ("RUNS", "got" if shown.raises == "reference" else "right"),
    ):
        parts = [part.replace(word, text) for part in parts]
    lines = "\n".join(wrapped(line) for line in "\n".join(parts).splitlines())
    body = f"{lines}\n{JUDGE.replace('VALID', 'True') if shown.judged else SAID}"
    seen = "Seen with " + ", ".join(f"{name} {version}" for name, version in versions(PACKAGES).items()) + "."
    future = "from __future__ import annotations\n\n" if shown.how else ""
    return f'"""{textwrap.fill(title, WIDTH)}\n\n{seen}\n"""\n\n{future}{_imports(shown, body)}\n\n{body}'


def _imports(shown: Shown, body: str) -> str:
    """The lines that import what the body uses."""
    used = [f"import {name}" for name in ("sys", "tempfile", "zlib", "jax") if f"{name}." in body]
    names = [shown.family.configuration, shown.head.reference, shown.head.port_name]
    lines = [*used, "import numpy as np", "import torch", f"from transformers import {', '.join(names)}"]
    if LOADING in body:
        lines.append(f"from transformers.modeling_flax_pytorch_utils import {LOADING}")
    return "\n".join(lines)


def _parts(shown: Shown) -> list[str]:
    """What the script does, one after the other."""
    if shown.how is not None:
        return [inspect.getsource(drawn), ATTEMPT, WRITTEN]
    if not shown.output and shown.padding is None:
        return [ATTEMPT, REFUSED]
    rounding = f"ROUNDING = {ROUNDING:.0e}  # times the largest value: what rounding may change in float32"
    drawing = TO_FLAX if shown.way == "to_flax" else FROM_FLAX
    return [rounding, DRAWN, drawing, PADDED if shown.padding is not None else RUN]


def _shown(subject: str, families: Sequence[Family]) -> Shown:
    """What the subject is about.

    Raises:
        UnsupportedError: it is about neither a forward pass nor a text that is written, or it agrees.
    """
    from harness.adapters.transformers import twins as library

    outcome = claim_of(subject, families)()
    if outcome.verdict is Verdict.AGREE:
        raise UnsupportedError("it agrees")
    family, head = next((f, h) for f in families for h in f.head if subject.startswith(f"{f.id}.{h.reference}."))
    check = subject.removeprefix(f"{family.id}.{head.reference}.")
    settings, kind, run = merged(family.base, head.settings), head.inputs or family.inputs, "forward"
    for varied, value in values_of(family):
        if check_name(varied, value) == check and head.reference in (varied.heads or (family.head_of().reference,)):
            settings = merged(settings, nested(varied.settings, varied.name, value))
            kind, run = varied.inputs or kind, varied.run
            break
    else:
        run = "forward" if check in WAYS else "generate" if check in WRITING else check
    config = library.configuration(family.configuration, settings)
    call = make(kind, library.settings_of(config))
    call = {name: array for name, array in call.items() if name in library.arguments_of(head.reference)}
    shown = Shown(family, head, settings, check if check in WAYS else "to_flax", call)
    if run == "generate":
        texts = calls_of(call) if check in WRITING else {"": call}
        name = next((name for name in texts if outcome.reason.startswith(f"{name}:")), next(iter(texts)))
        how = how_to_write(check, name) if check in WRITING else Writing(FIELD_STEPS)
        if check == "end tokens":
            how = replace(how, ends=ENDS)
        return replace(shown, call=texts[name], how=how.options())
    if run == "padding row":
        values = library.settings_of(config)
        return replace(shown, call=with_padding_seen(call, values), padding=padding_of(values))
    if run != "forward" or (check == "from_flax" and not outcome.worst):
        raise UnsupportedError(f"{check} is about no forward pass, and no text that is written")
    return replace(shown, output=outcome.worst, raises=_raises(outcome.reason))


def _raises(reason: str) -> str:
    return next((side for side in ("reference", "port") if f"the {side} raised" in reason), "port")


def _as_given(value: Any) -> Any:
    """The value of a setting as it is in Python: TOML has no word for none, and no table with numbers for keys."""
    if isinstance(value, Mapping):
        return {int(key) if key.isdigit() else key: _as_given(each) for key, each in value.items()}
    return None if value == "None" else value


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
