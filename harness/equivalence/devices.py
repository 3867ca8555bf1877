"""A port with its batch divided over eight devices against the same on one: in a process that sees so many.

JAX decides how many devices a machine's processors are when it starts, so that the check has a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import Array, Divides, UnsupportedError
from harness.equivalence.family import Family, Head
from harness.equivalence.forward import accepted, shape_of
from harness.equivalence.inputs import make
from harness.parity.compare import Verdict
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
    task = {"family": asdict(family), "reference": head.reference, "seed": seed}
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
        raise UnsupportedError(f"the process with {DEVICES} devices failed: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Line(**{**found, "verdict": Verdict(found["verdict"]), "pairs": ()})


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
    outputs = port.run_stepwise(call)  # type: ignore[attr-defined]
    cotangents = {
        name: generator.normal(size=array.shape) / np.sqrt(array.size)
        for name, array in outputs.items()
        if array.dtype.kind == "f" and len(array) == len(next(iter(call.values())))
    }
    one, many = (port.step_over(call, cotangents, devices=count) for count in (1, DEVICES))
    return judge("devices", f"{DEVICES} against 1", [Pair(name, one[name], many[name]) for name in one])


def _batch(kind: str, settings: Mapping[str, Any], *, seed: int) -> dict[str, Array]:
    """As many rows as devices, each another."""
    calls = [make(kind, settings, seed=seed + number) for number in range(DEVICES // 2)]
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def _main() -> None:
    task = json.load(sys.stdin)
    family = build(Family, task["family"], file=Path("standard input"))
    line = divided(family, family.head_of(task["reference"]), seed=task["seed"])
    print(json.dumps(line.to_dict()))  # noqa: T201  the answer to the process that asked


if __name__ == "__main__":
    _main()
