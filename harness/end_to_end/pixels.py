"""What a vision model sees of an image, from the definition of its preprocessing: the last step in float64.

Images are those of Pillow, which originals resize with; they come as arguments, so that nothing is imported here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.parity.compare import Array

FILTERS = {"bilinear": 2, "bicubic": 3}
"""As Pillow numbers them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image becomes pixels.

    fit: the shorter edge becomes `size`, or the longer, or both. crop: the square cut out of the middle, None for all.
    pad: the square into whose upper left corner it is put, normalised zeros around. converted: to RGB before or after.
    mean, std: of the values between 0 and 1.
    """

    fit: Literal["shortest", "longest", "both"]
    size: int
    resample: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: int | None = None
    pad: int | None = None
    converted: Literal["before", "after"] = "before"


def pixels(image: Any, recipe: Recipe) -> Array:
    """Of shape (3, height, width), in float64.

    Raises:
        ValueError: it is smaller than what is to be cut out of it.
    """
    if recipe.converted == "before":
        image = image.convert("RGB")
    image = image.resize(target(image.size[0], image.size[1], recipe), FILTERS[recipe.resample])
    if recipe.crop is not None:
        left, top = (offset(edge, recipe.crop) for edge in image.size)
        image = image.crop((left, top, left + recipe.crop, top + recipe.crop))
    levels = np.asarray(image.convert("RGB"), np.float64)
    shown = ((levels / 255.0 - recipe.mean) / recipe.std).transpose(2, 0, 1)
    if recipe.pad is None:
        return shown
    return np.pad(shown, [(0, 0), *((0, recipe.pad - edge) for edge in shown.shape[1:])])


def target(width: int, height: int, recipe: Recipe) -> tuple[int, int]:
    """Width and height after resizing: the other edge in whole pixels, cut off ("shortest") or rounded ("longest")."""
    if recipe.fit == "both":
        return recipe.size, recipe.size
    if recipe.fit == "longest":
        scale = recipe.size / max(width, height)
        return math.floor(width * scale + 0.5), math.floor(height * scale + 0.5)
    other = int(recipe.size * max(width, height) / min(width, height))
    return (recipe.size, other) if width <= height else (other, recipe.size)


def offset(edge: int, crop: int) -> int:
    """Where the middle begins: half the margin, a half rounded to the even number.

    >>> [offset(32 + margin, 32) for margin in (0, 1, 2, 3, 5, 7)]
    [0, 0, 1, 2, 2, 4]

    Raises:
        ValueError: the edge is shorter.
    """
    if edge < crop:
        raise ValueError(f"an edge of {edge} pixels, of which {crop} are wanted")
    return round((edge - crop) / 2)
