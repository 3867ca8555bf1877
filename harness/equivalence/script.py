"""A script that shows a divergence of twins with nothing but their library, and the folder that an issue is made of."""

from __future__ import annotations

import inspect
import json
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.adapters.drawn import drawn
from harness.adapters.protocols import Array, UnsupportedError
from harness.adapters.writing import Writing
from harness.environment import versions
from harness.equivalence.claims import claim_of
from harness.equivalence.family import Family, Head
from harness.equivalence.fields import STEPS as FIELD_STEPS
from harness.equivalence.fields import check_name, merged, nested, values_of
from harness.equivalence.forward import WAYS, shape_of
from harness.equivalence.generating import WRITING, calls_of, how_to_write
from harness.equivalence.inputs import make, padding_of, with_padding_seen
from harness.equivalence.outcome import Outcome
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
    VALID,
    WITHOUT_CHANCE,
    WRITTEN,
)
from harness.equivalence.trip_script import written as of_trip
from harness.equivalence.ways import MORE
from harness.equivalence.ways import WAYS as PLAIN
from harness.errors import SpecError
from harness.files import write_atomic
from harness.parity.compare import Verdict
from harness.parity.repro import Repro, verified
from harness.parity.script import JUDGE, WIDTH, wrapped
from harness.register import Row

ENDS = (1, 2)
"""Tokens that end a text, where two are asked for."""

READER, LOADING = "transformers.modeling_flax_pytorch_utils", "load_flax_checkpoint_in_pytorch_model"
"""The function of transformers with which PyTorch reads a Flax file, and its module."""

FROM = {
    "flax.serialization": ("msgpack_restore", "msgpack_serialize"),
    "flax.traverse_util": ("flatten_dict", "unflatten_dict"),
    "safetensors.numpy": ("load_file", "save_file"),
}
"""What else a script may use."""

PACKAGES = ("transformers", "torch", "jax", "jaxlib", "flax", "numpy")


TUPLE = re.compile(r"(\d+)((?:\[\d+\])*)")
"""The name of an output in a tuple, or in one inside it: `1[0]`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a script is written for.

    settings: of the configuration. way: one of `WAYS`. call: what they are given; whole: what a forward pass would be,
    where texts are written. output: that differs. lacking: one in a tuple that the port does not put out. raises: the
    side that does, where one does. how: what `generate` is asked for, where both write. padding: the token whose row
    of the table has a gradient. training: whether both train.
    """

    family: Family
    head: Head
    settings: Mapping[str, Any]
    way: str
    call: Mapping[str, Array]
    whole: Mapping[str, Array] | None = None
    output: str = ""
    lacking: str = ""
    raises: str = ""
    how: Mapping[str, Any] | None = None
    padding: int | None = None
    training: bool = False

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
            head, bodies, names = _bodies(subject, families, of_port="_flax_" in row.where)
        except UnsupportedError as error:
            why = str(error)
            continue
        for body in bodies:
            write_atomic(folder / "repro.py", _whole(body, names, title=f"{head.port_name}: {row.cause}"))
            reproduces, said = verified(folder / "repro.py")
            if reproduces:
                break
        made = Repro(folder, row.module, reproduces, said, ("repro.py", "repro.json"))
        record = made.to_dict() | {
            "schema": 1,
            "subject": subject,
            "called": head.port_name,
            "where": row.where,
            "cause": "",
            "detail": "",
            "said_standalone": "",
            "versions": versions(PACKAGES),
        }
        write_atomic(folder / "repro.json", json.dumps(record, indent=2) + "\n")
        return made
    return Repro(folder, row.module, False, f"there is no script for it: {why}")


def _bodies(subject: str, families: Sequence[Family], *, of_port: bool) -> tuple[Head, Sequence[str], Sequence[str]]:
    """The twins that the subject is about, and scripts for it: their texts, and the classes that they need.

    The first that shows the fault is the one: what raises in float64 alone is shown by a reference that is made so, and
    where the port's tuple has something else in a place, that is not lacking.
    of_port: the fault is in the port.

    Raises:
        UnsupportedError: there is no script for such a check, or it agrees.
    """
    outcome = claim_of(subject, families)()
    if outcome.verdict is Verdict.AGREE:
        raise UnsupportedError("it agrees")
    family, head = next((f, h) for f in families for h in f.head if subject.startswith(f"{f.id}.{h.reference}."))
    check = subject.removeprefix(f"{family.id}.{head.reference}.")
    for trip in (*PLAIN, *MORE):
        if trip.name == check:
            settings = merged(family.base, head.settings)
            shape = _shape(_call(family, head, settings))
            text, names = of_trip(family, head, trip, outcome.reason, config=_config(family, settings), shape=shape)
            return head, [text], [family.configuration, *names]
    shown = _shown(family, head, check, outcome)
    bodies = [written(shown)]
    if "the reference raised" in outcome.reason:
        if of_port:
            raise UnsupportedError("the reference raises before the port's fault could show")
        bodies.append(bodies[0].replace(".eval()", ".double().eval()"))
    if shown.lacking:
        bodies.append(written(replace(shown, output=shown.lacking, lacking="")))
    return head, bodies, [family.configuration, head.reference, head.port_name]


def _whole(body: str, names: Sequence[str], *, title: str) -> str:
    """The script with its title and imports."""
    seen = "Seen with " + ", ".join(f"{name} {version}" for name, version in versions(PACKAGES).items()) + "."
    future = "from __future__ import annotations\n\n" if inspect.getsource(drawn) in body else ""
    body = "\n".join(wrapped(line) for line in body.splitlines()) + "\n"
    return f'"""{textwrap.fill(title, WIDTH)}\n\n{seen}\n"""\n\n{future}{_imports(body, names)}\n\n{body}'


def _imports(body: str, names: Sequence[str]) -> str:
    """The lines that import what the body uses."""
    lines = [
        f"import {name}" for name in ("logging", "re", "sys", "tempfile", "zlib") if re.search(rf"\b{name}\.", body)
    ]
    lines += ["from pathlib import Path"] if "Path(" in body else []
    lines += ["", *(["import jax"] if "jax." in body else []), "import numpy as np", "import torch"]
    for module, functions in FROM.items():
        used = [name for name in functions if name in body]
        lines += [f"from {module} import {', '.join(used)}"] if used else []
    lines.append(f"from transformers import {', '.join(sorted({*names}))}")
    return "\n".join([*lines, *([f"from {READER} import {LOADING}"] if LOADING in body else [])])


def _config(family: Family, settings: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name}={_as_given(value)!r}" for name, value in settings.items())
    return f'{family.configuration}({given}, attn_implementation="eager")'


def _shape(call: Mapping[str, Array]) -> str:
    return "".join(f", {name}={value!r}" for name, value in shape_of(call).items())


def _call(family: Family, head: Head, settings: Mapping[str, Any], kind: str = "") -> dict[str, Array]:
    """What the reference is called with."""
    from harness.adapters.transformers import twins as library

    config = library.configuration(family.configuration, settings)
    call = make(kind or head.inputs or family.inputs, library.settings_of(config))
    return {name: array for name, array in call.items() if name in library.arguments_of(head.reference)}


def written(shown: Shown) -> str:
    """The script, without its imports."""
    from harness.adapters.transformers.twins import arguments_of

    taken = arguments_of(shown.head.port_name)
    keys = sorted(taken & {"dropout_rng", "indices_rng"})
    switch = ", train=True" if "train" in taken else ", deterministic=False"
    training = "".join([switch, *(f", {name}=jax.random.PRNGKey(0)" for name in keys)])
    parts = _parts(shown)
    made = "PORT(configuration()SHAPE)"
    if shown.raises != "reference":
        made = "PORT.from_pretrained(folder, from_pt=True, config=configuration()SHAPE)"
    for word, text in (
        ("PORT_MADE", made),
        ("PADDING", str(shown.padding)),
        ("REFERENCE", shown.head.reference),
        ("PORT", shown.head.port_name),
        ("CONFIG", _config(shown.family, shown.settings)),
        ("SHAPE", _shape(shown.whole or shown.call)),
        ("INPUTS", f"{{{', '.join(f'{name!r}: {_literal(array)}' for name, array in shown.call.items())}}}"),
        ("OUTPUT", _taken(shown.output)),
        ("OTHER", _taken(shown.head.outputs.get(shown.output, shown.output))),
        ("PART", _taken(shown.lacking) if shown.lacking else ""),
        ("MODE", "train" if shown.training else "eval"),
        ("TRAINING", training if shown.training else ""),
        ("FIRST", "[0]" if shown.training and not keys else ""),
        ("VALID", VALID if _masks(shown.call) else ""),
        ("HOW", repr(shown.how)),
        ("RAISES", "right" if shown.raises == "reference" else "got"),
        ("RUNS", "got" if shown.raises == "reference" else "right"),
    ):
        parts = [part.replace(word, text) for part in parts]
    return "\n".join([*parts, JUDGE.replace("VALID", "True") if shown.judged else SAID])


def _parts(shown: Shown) -> list[str]:
    """What the script does, one after the other."""
    if shown.how is not None:
        return [inspect.getsource(drawn), ATTEMPT, WRITTEN]
    chance = [WITHOUT_CHANCE] if shown.training else []
    if not shown.output and shown.padding is None:
        return [*chance, ATTEMPT, REFUSED]
    rounding = f"ROUNDING = {ROUNDING:.0e}  # times the largest value: what rounding may change in float32"
    drawing = TO_FLAX if shown.way == "to_flax" else FROM_FLAX
    return [rounding, *chance, DRAWN, drawing, PADDED if shown.padding is not None else RUN]


def _shown(family: Family, head: Head, check: str, outcome: Outcome) -> Shown:
    """What the check is about.

    Raises:
        UnsupportedError: it is about neither a forward pass nor a text that is written.
    """
    from harness.adapters.transformers import twins as library

    settings, kind, run = merged(family.base, head.settings), "", "forward"
    for varied, value in values_of(family):
        if check_name(varied, value) == check and head.reference in (varied.heads or (family.head_of().reference,)):
            settings = merged(settings, nested(varied.settings, varied.name, value))
            kind, run = varied.inputs, varied.run
            break
    else:
        run = "forward" if check in WAYS else "generate" if check in WRITING else check
    call = _call(family, head, settings, kind)
    shown = Shown(family, head, settings, check if check in WAYS else "to_flax", call)
    if run == "generate":
        texts = calls_of(call) if check in WRITING else {"": call}
        name = next((name for name in texts if outcome.reason.startswith(f"{name}:")), next(iter(texts)))
        how = how_to_write(check, name) if check in WRITING else Writing(FIELD_STEPS)
        if check == "end tokens":
            how = replace(how, ends=ENDS)
        return replace(shown, call=texts[name], whole=call, how=how.options())
    if run == "padding row":
        values = library.settings_of(library.configuration(family.configuration, settings))
        return replace(shown, call=with_padding_seen(call, values), padding=padding_of(values))
    field = run == "train" and check != "train"
    if (run != "forward" and not field) or (check == "from_flax" and not outcome.worst):
        raise UnsupportedError(f"{check} is about no forward pass, and no text that is written")
    shown = replace(shown, raises=_raises(outcome.reason), training=field)
    if TUPLE.fullmatch(outcome.worst) and math.isinf(outcome.error):
        return replace(shown, lacking=outcome.worst)
    return replace(shown, output=outcome.worst)


def _taken(name: str) -> str:
    """How a script takes an output of that name from what a model returns."""
    found = TUPLE.fullmatch(name)
    return f"[{found[1]}]{found[2]}" if found else f'["{name}"]'


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
