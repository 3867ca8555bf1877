"""A forward pass and a training step with the batch divided over devices, by the compiler's own partitioning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from harness.adapters.jax.arrays import collect
from harness.adapters.jax.program import Program, arrays_of, loss_of, split
from harness.adapters.protocols import LEARNING_RATE, STORED, Array, UnsupportedError

AXIS = "batch"


def step_over(
    program: Program, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], *, devices: int
) -> dict[str, Array]:
    """The outputs, and every weight after a step of SGD on the loss sum(output x cotangent), in inference mode and in
    float64, with the first axis of every input divided over that many devices.

    Raises:
        UnsupportedError: there are fewer devices, or they do not divide the batch.
    """
    found = jax.devices()
    if len(found) < devices:
        raise UnsupportedError(f"JAX sees {len(found)} devices, where {devices} are wanted")
    arrays, fixed = split(inputs)
    sizes = {array.shape[0] for array in arrays.values()}
    if any(size % devices for size in sizes):
        raise UnsupportedError(f"a batch of {sorted(sizes)} is not divided by {devices} devices")
    mesh = Mesh(np.array(found[:devices]), (AXIS,))
    axes: Any = PartitionSpec  # of which JAX does not say what it takes
    whole, divided = NamedSharding(mesh, axes()), NamedSharding(mesh, axes(AXIS))
    parameters, buffers = program.divided_weights(program.widened(STORED))
    # Not one that divides by the gradient itself, and would make as much of what is rounding alone.
    rule = optax.sgd(LEARNING_RATE["sgd"])

    def loss(parameters: Any, buffers: Any, arrays: Any, cotangents: Any) -> Any:
        outputs = arrays_of(program.apply({**buffers, **parameters}, {**arrays, **fixed}, None)[0])
        return loss_of(outputs, cotangents), outputs

    def step(parameters: Any, buffers: Any, arrays: Any, cotangents: Any) -> Any:
        gradients, outputs = jax.grad(loss, has_aux=True)(parameters, buffers, arrays, cotangents)
        updates, _ = rule.update(gradients, rule.init(parameters), parameters)
        return outputs, optax.apply_updates(parameters, updates)

    given = (
        jax.device_put((parameters, buffers), whole),
        {name: jax.device_put(array, divided) for name, array in arrays.items()},
        {name: jax.device_put(array, divided) for name, array in cotangents.items()},
    )
    outputs, stepped = jax.jit(step)(*given[0], *given[1:])
    return {**collect(outputs), **{f"after a step: {name}": np.asarray(value) for name, value in stepped.items()}}
