"""Faults of convolutions that keep the size of what is put out: padding, dilation, a flipped kernel, its bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.parity.causes.convolutions import Convolution
from harness.parity.compare import Array
from harness.parity.planting.evidence import close, evidence, first_floats, named
from harness.parity.planting.fault import Fault, Site, Watched, path_of, shifted


@dataclass(frozen=True, slots=True)
class Known:
    """The convolution that a call is. last: channels come last, and the kernel is (places..., in, out), as in Flax."""

    form: Convolution
    last: bool = False

    def __call__(self, watched: Watched, name: str) -> Array | None:
        """What it puts out."""
        call = watched.calls.get(name)
        x = first_floats(call) if call else None
        held = named(watched.own(name))
        kernel = held.get("weight")
        if call is None or x is None or kernel is None or kernel.ndim not in (3, 4) or x.ndim != kernel.ndim:
            return None
        if self.last:
            x, kernel = np.moveaxis(x, -1, 1), np.moveaxis(kernel, (-1, -2), (0, 1))
        known = evidence(watched, name, call.outputs[""], inputs={"x": x}, weights={**held, "weight": kernel})
        made = self.form(known)
        return np.moveaxis(made, 1, -1) if made is not None and self.last else made


def known_convolution(watched: Watched, name: str) -> Known | None:
    """The convolution that a call is; None if it is none, or too large to be modelled."""
    call = watched.calls[name]
    kernel, out = named(watched.own(name)).get("weight"), call.outputs.get("")
    if kernel is None or out is None or kernel.ndim not in (3, 4) or watched.inside(name):
        return None
    for last in (False, True):
        size = kernel.shape[0] if last else kernel.shape[-1]
        for stride in dict.fromkeys((1, 2, 3, 4, 5, size)):
            paddings = dict.fromkeys(
                [(0, 0), (size // 2, size // 2), *((a, a + b) for a in range(size) for b in (0, 1))]
            )
            for before, after in paddings:
                known = Known(Convolution(stride, before, after), last)
                if close(known(watched, name), out):
                    return known
    return None


def convolution_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """The call is a convolution; with something else in it."""
    known = known_convolution(watched, name)
    if known is None:
        return
    form, held = known.form, named(watched.own(name))
    kernel = held["weight"]
    size, spatial = (kernel.shape[0] if known.last else kernel.shape[-1]), tuple(range(2, kernel.ndim))
    forms = []
    if form.before:
        padding = replace(form, before=form.before - 1, after=form.after + 1)
        forms.append(("convolution padding", "one less before and one more after", padding))
    if size > 1:
        forms.append(("kernel reversed", "in space", replace(form, flipped=spatial)))
        more = size - 1 + form.before + form.after
        spread = replace(form, dilation=2, before=more // 2, after=more - more // 2)
        forms.append(("convolution dilation", "2 for 1", spread))
        if len(spatial) == 2:
            forms.append(("kernel transposed", "height and width are swapped", replace(form, transposed=True)))
    if "bias" in held:
        forms.append(("bias missing", "a convolution's is never added", replace(form, bias=False)))
    for cause, what, wrong in forms:
        unseen = "its bias is 0 everywhere" if cause == "bias missing" else ""
        plant = shifted(Site(name), known, replace(known, form=wrong))
        yield Fault(cause, what, path_of(name), plant, unseen)
