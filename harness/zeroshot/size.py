"""How large a model is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """parameters: each counted once, also where it is tied. flops: of a token going forward, in multiply and add.

    flops is 2 a weight that multiplies (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), attention over the
    context left out: small for the short texts of such tasks.
    """

    parameters: int
    flops: float


def short(number: float) -> str:
    """The number to three digits with its unit.

    >>> short(134515008), short(2.69e8), short(950)
    ('135M', '269M', '950')
    """
    for unit_size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit_size * 0.9995:
            return f"{number / unit_size:.3g}{unit}"
    return f"{number:.3g}"
