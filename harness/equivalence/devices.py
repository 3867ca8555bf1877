"""A port with its batch divided over eight devices against the same on one: in a process that sees so many.

JAX decides how many devices a machine's processors are when it starts, so that the check has a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import Array, Divides, UnsupportedError
from harness.adapters.source import Replaced
from harness.equivalence.family import Family, Head
from harness.equivalence.forward import accepted, shape_of
from harness.equivalence.inputs import make
from harness.parity.compare import Verdict
from harness.parity.floor import EPS32, EXACT, FACTOR, largest
from harness.parity.judge import Line, Pair, judge
from harness.reader import build

DEVICES = 8
VIRTUAL = f"--xla_force_host_platform_device_count={DEVICES}"
SECONDS = 600.0
"""How long the process may take."""


def divided_line(family: Family, head: Head, *, seed: int) -> Line:
    """The line of this check, made in a process with eight devices of the host.

    Raises:
        UnsupportedError: the process failed, with the last that it said.
    """
    from harness.adapters.transformers.corrected import in_force

    edits = {name: [asdict(text) for text in texts] for name, texts in in_force().items()}
    task = {"family": asdict(family), "reference": head.reference, "seed": seed, "edits": edits}
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {VIRTUAL}".strip(),
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness.equivalence.devices"],
        input=json.dumps(task),
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise UnsupportedError(f"the process with {DEVICES} devices failed: {_error(done.stderr)}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Line(**{**found, "verdict": Verdict(found["verdict"]), "pairs": ()})


def _error(told: str) -> str:
    """The line of a traceback that names its exception, which JAX has followed by others."""
    lines = told.strip().splitlines()
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), "".join(lines[-1:]))


def divided(family: Family, head: Head, *, seed: int) -> Line:
    """The check itself, where the devices are: outputs and weights after a step, on eight against one."""
    from harness.adapters.transformers import twins as library

    config = library.configuration(family.configuration, {**family.base, **head.settings})
    settings = library.settings_of(config)
    call = _batch(head.inputs or family.inputs, settings, seed=seed)
    port: Any = adapt(library.drawn_port(head.port_name, config, seed=seed, **shape_of(call)))
    if not isinstance(port, Divides):
        raise UnsupportedError("it cannot be divided")
    call = accepted(call, port)
    generator = np.random.default_rng(seed)
    outputs, lifted = port.run_stepwise(call), port.run_wide(call).outputs  # type: ignore[attr-defined]
    cotangents = {
        name: generator.normal(size=array.shape) / np.sqrt(array.size)
        for name, array in outputs.items()
        if array.dtype.kind == "f" and len(array) == len(next(iter(call.values())))
    }
    one, many = (port.step_over(call, cotangents, devices=count) for count in (1, DEVICES))
    pairs = [Pair(name, one[name], many[name]) for name in one]
    # What computes in float32 by itself is divided into other sums; lifted, it puts out something else.
    short = any(largest(array - lifted[name]) > EXACT * largest(array) for name, array in outputs.items())
    return judge("devices", f"{DEVICES} against 1", pairs, exact=FACTOR * EPS32 if short else EXACT)


def _batch(kind: str, settings: Mapping[str, Any], *, seed: int) -> dict[str, Array]:
    """As many rows as devices, each another."""
    calls = [make(kind, settings, seed=seed + number) for number in range(DEVICES // 2)]
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def _main() -> None:
    from harness.adapters.transformers.corrected import corrected

    task = json.load(sys.stdin)
    family = build(Family, task["family"], file=Path("standard input"))
    edits = {name: [Replaced(**text) for text in texts] for name, texts in task["edits"].items()}
    with corrected(edits):
        line = divided(family, family.head_of(task["reference"]), seed=task["seed"])
    print(json.dumps(line.to_dict()))  # noqa: T201  the answer to the process that asked


if __name__ == "__main__":
    _main()
