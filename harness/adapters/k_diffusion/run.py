"""The functions of k-diffusion's `sampling`, driven by a model that is a formula, on a grid that is given."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import numpy as np
import torch

from harness.adapters.k_diffusion.needs import INSTALL
from harness.adapters.sampling import Array, Call, Denoise, Draw, Level, Noise, Sampled
from harness.errors import SpecError


@functools.cache
def sampling() -> ModuleType:
    """The installed distribution's `sampling`, under a package of ours: its own imports images that it never uses.

    Raises:
        SpecError: it is not installed, or one of the three packages it does use is not.
    """
    try:
        file = distribution("k-diffusion").locate_file("k_diffusion/sampling.py")
    except PackageNotFoundError:
        raise SpecError("k-diffusion", "is not installed", todo=INSTALL) from None
    package, utils = ModuleType("harness_k_diffusion"), ModuleType("harness_k_diffusion.utils")
    package.__path__ = []
    utils.append_dims = _append_dims  # type: ignore[attr-defined]
    spec = spec_from_file_location("harness_k_diffusion.sampling", str(file))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules.update({"harness_k_diffusion": package, "harness_k_diffusion.utils": utils})
    package.utils = utils  # type: ignore[attr-defined]
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise SpecError("k-diffusion", f"its sampling does not load: {error}", todo=INSTALL) from None
    return module


@dataclass(frozen=True, slots=True)
class Original:
    """A sampler by the end of its function's name (`euler` for `sample_euler`), with the arguments it is given.

    sigmas: the grid, downwards; the last may be 0. samplers that take `sigma_min` and `sigma_max` get its ends.
    """

    name: str
    sigmas: Sequence[float]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wide: bool = True

    def describe(self) -> str:
        return f"k-diffusion sample_{self.name}"

    def run(self, start: Array, denoise: Denoise, noise: Noise) -> Sampled:
        """Sample from `start`, (batch, width), at the first of `sigmas` (data unscaled: x = x0 + sigma noise)."""
        module = sampling()
        kind = torch.float64 if self.wide else torch.float32
        calls: list[Call] = []
        draws: list[Draw] = []
        states: list[Array] = []

        def model(sample: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            level = Level(1.0, float(sigma.reshape(-1)[0]))
            seen = sample.numpy().astype(np.float64)
            denoised = denoise(seen, level)
            calls.append(Call(float("nan"), level, seen, denoised))
            return torch.from_numpy(denoised).to(kind)

        def draw(begin: Any, end: Any) -> torch.Tensor:
            draws.append(Draw(float(begin), float(end)))
            return torch.from_numpy(noise(len(draws) - 1)).to(kind)

        def tell(info: Mapping[str, Any]) -> None:
            states.append(info["x"].numpy().astype(np.float64))

        function = getattr(module, f"sample_{self.name}", None)
        if function is None:
            raise SpecError(
                f"k-diffusion sampler {self.name!r}",
                "not known",
                todo="Name a function `sample_...` without its beginning.",
            )
        accepted = inspect.signature(function).parameters
        given: dict[str, Any] = {**self.arguments, "disable": True, "callback": tell}
        if "noise_sampler" in accepted:
            given["noise_sampler"] = draw
        ends = {"n", "sigma_min"} & set(accepted)
        sigmas = torch.tensor(list(self.sigmas), dtype=kind)
        place = (float(self.sigmas[-1]), float(self.sigmas[0])) if ends else (sigmas,)
        before, default = module.torch, torch.get_default_dtype()
        module.torch = _Noisy(torch, draw)  # type: ignore[attr-defined]
        torch.set_default_dtype(kind)
        try:
            final = function(model, torch.from_numpy(np.asarray(start)).to(kind), *place, **given)
        finally:
            module.torch = before  # type: ignore[attr-defined]
            torch.set_default_dtype(default)
        states.append(final.numpy().astype(np.float64))
        levels = tuple(Level(1.0, float(sigma)) for sigma in self.sigmas[1:])
        return Sampled(tuple(calls), tuple(draws), tuple(states[1:]), levels)


@dataclass(frozen=True, slots=True)
class _Noisy:
    """PyTorch, but for `randn_like`, which gives the noise that was handed in."""

    whole: Any
    draw: Any

    def randn_like(self, _like: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.draw(float("nan"), float("nan"))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


def _append_dims(values: torch.Tensor, dimensions: int) -> torch.Tensor:
    """`values` with axes of length 1 added behind, up to that many axes."""
    return values.reshape(values.shape + (1,) * (dimensions - values.ndim))
