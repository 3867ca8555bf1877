"""Convolutions: stride, padding, dilation, a kernel that is flipped or transposed, a bias that is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from harness.parity.causes.evidence import Claim, Evidence, both
from harness.parity.compare import Array
from harness.parity.floor import EXACT

LARGEST = 20_000_000
"""Numbers in all windows together: a larger convolution is not modelled."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """(batch, channels, ...) with a kernel (out, channels of a group, ...), the same in every direction.

    before, after: how many zeros are put around; same: as TensorFlow does, so that only the stride makes the output
    smaller, the odd one at the end. flipped: axes of the kernel that are reversed. kernel: what is done to
    the two weights of a weight norm, if it is not what is usual. interleaved: channels are dealt to the groups in turn.
    """

    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    flipped: tuple[int, ...] = ()
    transposed: bool = False
    bias: bool = True
    kernel: str = ""
    interleaved: bool = False
    same: bool = False

    def __call__(self, evidence: Evidence) -> Array | None:
        """What it makes of the first input, or None if it does not fit."""
        x, kernel, bias = evidence.first, evidence.weights.get("weight"), evidence.weights.get("bias")
        if x is None or kernel is None or x.ndim != kernel.ndim or x.shape[1] % kernel.shape[1]:
            return None
        if self.kernel:
            length, direction = evidence.weights.get("weight_g"), evidence.weights.get("weight_v")
            if length is None or direction is None:
                return None
            kernel = KERNELS[self.kernel](length, direction)
        kernel = np.flip(kernel, self.flipped) if self.flipped else kernel
        kernel = kernel.swapaxes(-1, -2) if self.transposed else kernel
        groups, spatial = x.shape[1] // kernel.shape[1], tuple(range(2, x.ndim))
        if self.interleaved:
            x = x.reshape(len(x), groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
        x = np.pad(x, [(0, 0), (0, 0), *(self._around(x.shape[axis], kernel.shape[axis]) for axis in spatial)])
        sizes = [self.dilation * (kernel.shape[axis] - 1) + 1 for axis in spatial]
        if any(x.shape[axis] < size for axis, size in zip(spatial, sizes, strict=True)):
            return None
        steps, holes = (
            (slice(None, None, self.stride),) * len(spatial),
            (slice(None, None, self.dilation),) * len(spatial),
        )
        windows = sliding_window_view(x, sizes, axis=spatial)[(slice(None), slice(None), *steps, *holes)]
        if windows.size > LARGEST:
            return None
        parts = [
            # Sums over the channels of the group and the places in the kernel; the outputs' channels come last.
            np.tensordot(part, own, axes=([1, *range(windows.ndim - len(spatial), windows.ndim)], [1, *spatial]))
            for part, own in zip(np.split(windows, groups, axis=1), np.split(kernel, groups), strict=True)
        ]
        result = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
        if bias is not None and self.bias:
            result = result + bias.reshape(1, -1, *[1] * len(spatial))
        return result

    def _around(self, size: int, kernel: int) -> tuple[int, int]:
        if not self.same:
            return self.before, self.after
        lacking = max((-(-size // self.stride) - 1) * self.stride + self.dilation * (kernel - 1) + 1 - size, 0)
        return lacking // 2, lacking - lacking // 2


def weight_norm(length: Array, direction: Array) -> Array:
    """Length x direction / |direction|, for each place on the axes that `length` has (Salimans and Kingma 2016)."""
    axes = tuple(axis for axis in range(direction.ndim) if length.shape[axis] == 1)
    scaled: Array = length * direction / np.sqrt((direction**2).sum(axes, keepdims=True))
    return scaled


def _over(axes: tuple[int, ...]) -> Callable[[Array, Array], Array]:
    return lambda length, direction: length * direction / np.sqrt((direction**2).sum(axes, keepdims=True))


KERNELS: Mapping[str, Callable[[Array, Array], Array]] = {
    "its length is ignored": lambda _, direction: direction,
    "it is not brought to length 1": lambda length, direction: length * direction,
    "its length is that of each output": _over((1, 2)),
    "its length is that of each input": _over((0, 2)),
    "its length is that of each place": _over((0, 1)),
    "its length is that of all of it": _over((0, 1, 2)),
    "its length is that over places, divided by the root of the inputs": lambda length, direction: (
        _over((2,))(length, direction) / direction.shape[1] ** 0.5
    ),
}
"""What a port may do with the two weights of a weight norm."""


def convolved(evidence: Evidence) -> Iterator[Claim]:
    """The reference is a convolution; the port is one with something else in it."""
    kernel = evidence.weights.get("weight")
    if evidence.handed or kernel is None or kernel.ndim not in (3, 4):
        return
    reference = _reference(evidence, kernel.shape[-1])
    if reference is None:
        return
    for name, what, form in _variants(reference, kernel):
        claim = Claim(name, what, partial(_both, reference=reference, port=form))
        if form != reference and claim.holds(evidence):
            yield claim


def _reference(evidence: Evidence, size: int) -> Convolution | None:
    for stride in range(1, size + 1):
        for padding in dict.fromkeys((0, size // 2, *range(size))):
            form = Convolution(stride, padding, padding)
            made = form(evidence)
            if made is not None and evidence.apart(made, evidence.right) <= EXACT:
                return form
    return None


def _variants(form: Convolution, kernel: Array) -> Iterator[tuple[str, str, Convolution]]:
    size, spatial = kernel.shape[-1], tuple(range(2, kernel.ndim))
    yield "bias missing", "its bias is never added", replace(form, bias=False)
    for what in KERNELS:
        yield "weight norm", what, replace(form, kernel=what)
    yield "convolution groups", "channels are dealt to the groups in turn", replace(form, interleaved=True)
    for axes in dict.fromkeys((spatial, spatial[:1], spatial[-1:])):
        yield "kernel reversed", "its kernel is reversed in space", replace(form, flipped=axes)
    if len(spatial) == 2:
        yield "kernel transposed", "height and width of its kernel are swapped", replace(form, transposed=True)
    for stride in range(1, size + 1):
        yield (
            "convolution stride",
            f"{stride} in the port, {form.stride} in the reference",
            replace(form, stride=stride),
        )
    for dilation in (2, 3, 4):
        yield "convolution dilation", f"{dilation} in the port", replace(form, dilation=dilation)
        spread = dilation * (size - 1) // 2
        yield (
            "convolution dilation",
            f"{dilation} in the port",
            replace(form, dilation=dilation, before=spread, after=spread),
        )
    same = replace(form, same=True)
    yield "convolution padding", f"SAME in the port, {form.before} around in the reference", same
    for before in range(size + 1):
        for after in range(size + 1):
            what = f"{before} before and {after} after in the port, {form.before} around in the reference"
            yield "convolution padding", what, replace(form, before=before, after=after)


def _both(evidence: Evidence, reference: Convolution, port: Convolution) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), port(evidence))
