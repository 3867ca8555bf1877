"""How far a port may be from its reference."""

from __future__ import annotations

import math

from harness.reader import specification

CONTRACT = 1e-3
"""The field's bound on |reference - port|: the value that conversion guides and model tests of the Hugging Face
libraries use for float32 outputs of a ported model."""


@specification
class Tolerance:
    """|reference - port| <= atol + rtol x |reference|, element by element.

    atol: the absolute part. rtol: the part that grows with the value.
    reason: why it is looser than the contract, where it is.
    """

    atol: float = CONTRACT
    rtol: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        for name, value in (("atol", self.atol), ("rtol", self.rtol)):
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a finite number, zero or above")
        if (self.atol > CONTRACT or self.rtol > 0) and not self.reason:
            raise ValueError(f"looser than the contract ({CONTRACT:g}, absolute): give a reason")
