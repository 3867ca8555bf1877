"""Run one side and write all that a comparison elsewhere will ask for: inputs, outputs, taps, and float64."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import Call, Replays, Runs, State, UnsupportedError
from harness.environment import capture
from harness.errors import SpecError
from harness.parity.compare import Array
from harness.parity.floor import DRAWS
from harness.parity.stored import Claim, Index, Module, Run, Wide
from harness.parity.storing import LIMIT_BYTES, Writer, check_name
from harness.parity.trace import record
from harness.parity.wide import run_wide
from harness.recorder import SCHEMA


def trace(
    model: Any,
    inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    file: str | Path,
    *,
    side: str = "reference",
    name: str = "check",
    device: str = "cpu",
    precision: str = "highest",
    float64: bool = True,
) -> Path:
    """Run a model that is in memory and write its trace, to be compared elsewhere; the file that was written.

    model, inputs, device, precision: as for `harness.check`. side: `reference` or `port`. name: of the claim.
    float64: see `store`.

    Raises:
        As `store`; BuildError: no adapter takes the model.
    """
    if side not in ("reference", "port"):
        raise SpecError(name, f"unknown side {side!r}", todo="Say 'reference' or 'port'.")
    calls = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    if not calls:
        raise SpecError(name, "no inputs were given", todo="Give one call, or a sequence of calls.")
    adapted = adapt(model, device=device, precision=precision, place=name)
    claim = Claim(case=name, side=side)
    return store(adapted, calls, Path(file), claim=claim, device=device, precision=precision, float64=float64)


def store(
    model: Runs,
    calls: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    claim: Claim,
    device: str = "cpu",
    precision: str = "highest",
    float64: bool = True,
    limit_bytes: int = LIMIT_BYTES,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Run the model on every call and write its trace; the file that was written.

    float64: run it in float64 as well, and note what every module was given and put out there; that holds all of it in
    memory at once, where the model's own type is written as it comes. limit_bytes: of a shard.

    Raises:
        SpecError: `path` is no name for a trace, or an input cannot be stored.
        RunError: the model raised. RecordError: the disk refused.
    """
    writer = Writer(check_name(path), limit_bytes)
    runs = []
    for number, call in enumerate(calls, start=1):
        if progress is not None:
            progress(f"run {claim.side}")
        arrays, fixed = divided(call)
        taps: dict[str, str] = {}

        def keep(name: str, array: Array, taps: dict[str, str] = taps, number: int = number) -> None:
            taps[name] = writer.put(f"{number}/taps/{name}", array)

        inputs = writer.put_all(f"{number}/inputs", arrays)
        trace = record(model, call, meet=keep)
        outputs = writer.put_all(f"{number}/outputs", trace.outputs)
        wide, why_not = None, "it was not asked for"
        if float64:
            if progress is not None:
                progress("float64")
            wide, why_not = _wide(model, call, writer, f"{number}/float64")
        runs.append(Run(inputs=inputs, fixed=fixed, outputs=outputs, taps=taps, wide=wide, why_not_wide=why_not))
    index = Index(
        schema=SCHEMA,
        model=model.describe(),
        claim=claim,
        device=device,
        precision=precision,
        environment=capture(),
        runs=tuple(runs),
        arrays={},
    )
    return writer.finish(index)


def divided(call: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The inputs that are arrays, and the rest: numbers, switches, words, and lists of them.

    Raises:
        SpecError: one is neither.
    """
    arrays, fixed = {}, {}
    for name, value in call.items():
        for step in ("detach", "cpu"):  # of a torch tensor, which NumPy cannot read before
            value = getattr(value, step, lambda value=value: value)()
        if hasattr(value, "__array__"):
            arrays[name] = np.asarray(value)
        elif _is_plain(value):
            fixed[name] = value
        else:
            wanted = "an array, a number, a switch, a word, or a list of them"
            raise SpecError(f"input {name!r}", f"is a {type(value).__name__}, and a trace holds {wanted}", todo=CHANGE)
    return arrays, fixed


CHANGE = "Change the factory of the inputs."


def _is_plain(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _wide(model: Runs, call: Mapping[str, Any], writer: Writer, place: str) -> tuple[Wide | None, str]:
    """The call in float64, or why there is none."""
    found, refusal = run_wide(model, call)
    if found is None:
        return None, refusal
    outputs = writer.put_all(f"{place}/outputs", found.outputs)
    nudged = []
    for seed in range(DRAWS):
        moved = model.run_wide(call, state=State(nudge=seed))
        nudged.append(writer.put_all(f"{place}/nudged/{seed}", moved.outputs))
    modules, why_not = _modules(model, call, writer, place)
    return (
        Wide(
            outputs=outputs,
            islands=found.islands,
            constants=found.constants,
            nudged=tuple(nudged),
            modules=tuple(modules),
            why_no_modules=why_not,
        ),
        "",
    )


def _modules(model: Runs, call: Mapping[str, Any], writer: Writer, place: str) -> tuple[list[Module], str]:
    """Every call of a module, or why there is none."""
    found: list[Module] = []

    def meet(each: Call) -> None:
        at = f"{place}/modules/{each.name}"
        arrays = {name: leaf for name, leaf in each.inputs.items() if isinstance(leaf, np.ndarray)}
        found.append(
            Module(
                name=each.name,
                caller=each.caller,
                kind=each.kind,
                inputs=writer.put_all(f"{at}/inputs", arrays),
                fixed={name: leaf for name, leaf in each.inputs.items() if name not in arrays},
                outputs=writer.put_all(f"{at}/outputs", each.outputs),
            )
        )

    if not isinstance(model, Replays):
        return [], f"{model.describe()} has no modules that can be reached"
    try:
        model.replay(call, meet)
    except UnsupportedError as error:
        return [], str(error)
    return found, ""
