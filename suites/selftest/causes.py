"""Evidence that a test makes itself, and the cause that is named for it."""

import numpy as np

from harness.adapters.protocols import Call
from harness.parity.causes import prove
from harness.parity.causes.evidence import Evidence


def evidence(right, got, inputs, weights=None, inside=None, **more):
    return Evidence(
        path="module",
        kind="Module",
        right=right,
        got=got,
        inputs=inputs,
        inside=inside or {},
        weights=weights or {},
        theirs=more.pop("theirs", {}),
        **more,
    )


def inside(**outputs):
    """The calls inside the module, by name, with what they put out."""
    return {f"module.{name}": Call(f"module.{name}", "module", "Inner", {}, {"": a}) for name, a in outputs.items()}


def cause(make, inputs=3):
    """The cause for what `make` gives of so many random inputs."""
    return prove([{"output": make(np.random.default_rng(seed))} for seed in range(inputs)], "module")


def name(make):
    found = cause(make)
    return found.name if found else None
