"""Describe an error whose cause is not proved: where it is, how large, and what it has to do with the right values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.parity.causes.evidence import COLLAPSED, SHORT, Evidence
from harness.parity.compare import Array
from harness.parity.floor import EXACT, largest

FEW = 3
"""Places that are listed one by one."""

RANKED, TOKENS, GROWN = 0.9, 8, 2.0
"""An error grows with the position if its rank correlation with it is at least 0.9 over at least 8 tokens, and it is
twice as large in the last quarter as in the first. Of 100,000 random orders of 8 tokens 0.2 % are as correlated."""

FITS = 1e-6
"""Of the error: how far the wrong values may be from one ratio or offset; a table in float32 is off by 6e-8."""

NEARLY = 0.9
"""Of all values, along every axis: a value may be right by chance, or off by no more than rounding."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Inputs on which a claim was made. agrees: whether it agreed there; padded: whether some hold padding."""

    agrees: bool
    tokens: int
    padded: bool


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of the error of a module whose cause is not proved. said: phrases, each true on all inputs."""

    path: str
    said: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.said)


def describe(
    evidences: Sequence[Mapping[str, Evidence]],
    lengths: Sequence[Collection[int]] = (),
    *,
    shown: Sequence[Shown] = (),
    heads: int = 0,
) -> Description:
    """The description of what is wrong in one module.

    evidences: as for `prove`; of the arrays that are wrong there the one that is farthest off on the first inputs is
    described. lengths: of each of these inputs, how many tokens it may have; an axis as long is one of tokens.
    shown: all inputs of the claim. heads: how many the model has, by its configuration; 0 if it says nothing.
    """
    key, first = max(evidences[0].items(), key=lambda item: item[1].apart(item[1].got, item[1].right))
    lengths = lengths or [()] * len(evidences)
    with np.errstate(all="ignore"):  # of an error that is no number, ratios are none either
        said = [
            dict(_phrases(each[key], length, heads))
            for each, length in zip(evidences, lengths, strict=True)
            if key in each
        ]
    common = [text for what, text in said[0].items() if all(what in each for each in said[1:])]
    return Description(first.path, (*(common or [NO_PATTERN]), *_inputs(shown)))


NO_PATTERN = "in no pattern that is looked for"

Key = tuple[object, ...]
"""What a phrase says, without the numbers that may differ from input to input."""


def _phrases(evidence: Evidence, lengths: Collection[int], heads: int) -> Iterator[tuple[Key, str]]:
    right, got = evidence.right, evidence.got
    if right.shape != got.shape:
        yield ("shape", got.ndim), f"its shape is {got.shape}, the reference's {right.shape}"
        return
    valid = np.broadcast_to(True if evidence.valid is None else evidence.valid, right.shape)
    if evidence.is_mask or right.dtype.kind == "b":
        yield from _of_mask(right.astype(bool), got.astype(bool))
        return
    right, got = right.astype(np.float64), got.astype(np.float64)
    wrong = _wrong(right, got, valid)
    if not wrong.any():
        return
    axes = _axes(right.shape, lengths, heads)
    places = list(_places(wrong, valid, axes, heads))
    if not places and wrong.sum() >= NEARLY * valid.sum():
        places = [(("all",), "almost everywhere")]
    yield from places
    nan = ~np.isfinite(got) & np.isfinite(right) & wrong
    if nan.any():
        values = "NaN" if np.isnan(got[nan]).all() else "not finite"
        every = bool(nan.sum() == wrong.sum())
        yield ("nan", every), f"it is {values} there" if every else f"some of it is {values}"
        return
    related = list(_related(right, got, wrong, valid, axes))
    yield from related or _growth(right, got, wrong, valid, axes)
    size = largest((got - right)[wrong]) / (largest(right[valid]) or 1.0)
    if size <= SHORT:
        yield ("size",), "by no more than a table in float32 is rounded"


def _wrong(right: Array, got: Array, valid: Array) -> Array:
    """Where the values are off by more than rounding, also that of a table in float32 beside a real error."""
    same = (right == got) | (np.isnan(right) & np.isnan(got)) | ~valid
    apart = np.where(same, 0.0, np.abs(got - right))
    apart = np.where(np.isnan(apart), np.inf, apart)
    scale, most = largest(right[valid]), float(np.max(apart, initial=0.0))
    wrong: Array = apart > max(EXACT * scale, min(SHORT * scale, COLLAPSED * most))
    return wrong


def _of_mask(right: Array, got: Array) -> Iterator[tuple[Key, str]]:
    for what, other, places in (("lets see", "hides", got & ~right), ("hides", "lets see", right & ~got)):
        if places.any():
            yield ("mask", what), f"it {what} what the reference {other}"


def _axes(shape: tuple[int, ...], lengths: Collection[int], heads: int) -> list[str]:
    """What each axis is of: rows of the batch, tokens, heads, channels, or unknown."""
    names = ["row", *(f"axis {axis}" for axis in range(1, len(shape)))][: len(shape)]
    token = next(
        (axis for axis in ((2, 1) if len(shape) == 4 else (1,)) if shape[axis : axis + 1] and shape[axis] in lengths), 0
    )
    if token:
        names[token] = "token"
        if token < len(shape) - 1:
            names[-1] = "channel"
        if len(shape) == 4 and shape[3 - token] == heads:
            names[3 - token] = "head"
    elif len(shape) == 2:
        names[1] = "channel"
    return names


def _places(wrong: Array, valid: Array, axes: Sequence[str], heads: int) -> Iterator[tuple[Key, str]]:
    """Of each axis along which not all is wrong: where it is, in words."""
    rows = _where(wrong, "row", axes)
    tokens = _where(wrong, "token", axes)
    for axis, name in enumerate(axes):
        # A row that is too short to hold those tokens is not sound for that.
        there, possible = _along(wrong, {axis}), _along(valid & (rows if axis else tokens), {axis})
        if there.sum() == possible.sum():
            continue
        at, places = np.flatnonzero(there), np.flatnonzero(possible)
        if name == "row":
            yield from _rows(at, valid)
        elif name == "token":
            yield from _tokens(_along(wrong, {0, axis}), _along(valid, {0, axis}), at, places)
        elif name == "channel":
            yield from _channels(at, wrong.shape[axis], heads)
        else:
            yield (name, *at), _listed(name, at, len(places))


def _where(wrong: Array, name: str, axes: Sequence[str]) -> Array:
    """Where anything is wrong along that axis; everywhere if there is none."""
    if name not in axes:
        return np.ones((), bool)
    axis = list(axes).index(name)
    return _along(wrong, {axis}).reshape([-1 if each == axis else 1 for each in range(wrong.ndim)])


def _along(array: Array, axes: Collection[int]) -> Array:
    """Whether there is any, along these axes."""
    found: Array = np.any(array, axis=tuple(each for each in range(array.ndim) if each not in axes))
    return found


def _rows(at: Array, valid: Array) -> Iterator[tuple[Key, str]]:
    padded = _along(~valid, {0})
    if padded.any() and np.array_equal(at, np.flatnonzero(padded)):
        yield ("rows", "padded"), "only in rows that hold padding"
    elif padded.any() and np.array_equal(at, np.flatnonzero(~padded)):
        yield ("rows", "whole"), "only in rows without padding"
    else:
        yield ("row", *at), _listed("row", at, len(padded))


def _tokens(wrong: Array, valid: Array, at: Array, places: Array) -> Iterator[tuple[Key, str]]:
    """Both are (batch, tokens)."""
    ends = {"first": np.argmax(valid, axis=1), "last": valid.shape[1] - 1 - np.argmax(valid[:, ::-1], axis=1)}
    for word, place in ends.items():
        only = np.zeros_like(wrong)
        only[np.arange(len(wrong)), place] = wrong.any(1)
        if np.array_equal(wrong, only):
            yield ("tokens", word), f"only at the {word} token"
            return
    if len(at) > 1 and np.array_equal(at, places[places >= at[0]]):
        yield ("tokens from", int(at[0])), f"only from token {at[0]} on"
    elif len(at) > 1 and np.array_equal(at, places[places <= at[-1]]):
        yield ("tokens to", int(at[-1])), f"only up to token {at[-1]}"
    else:
        yield ("token", *at), _listed("token", at, len(places))


def _channels(at: Array, count: int, heads: int) -> Iterator[tuple[Key, str]]:
    width = count // heads if heads > 1 and count % heads == 0 else 1
    mine = np.unique(at // width)
    if width > 1 and len(at) == len(mine) * width:
        yield ("heads", *mine), f"{_listed('head', mine, heads)} of {heads}"
    elif len(at) > FEW and len(at) == at[-1] - at[0] + 1:
        yield ("channels", *at), f"only in channels {at[0]} to {at[-1]} of {count}"
    else:
        yield ("channels", *at), _listed("channel", at, count)


def _listed(name: str, at: Array, count: int) -> str:
    where = "at" if name == "token" else "in"
    if name.startswith("axis"):
        return f"only {where} {len(at)} of {count} places on {name}"
    if len(at) > FEW:
        return f"only {where} {len(at)} of {count} {name}s"
    return f"only {where} {name}{'s' if len(at) > 1 else ''} {', '.join(map(str, at))}"


def _related(right: Array, got: Array, wrong: Array, valid: Array, axes: Sequence[str]) -> Iterator[tuple[Key, str]]:
    """What the wrong values have to do with the right ones at the same places, or in other places."""
    ours, theirs = right[wrong], got[wrong]
    most = largest(theirs - ours)
    if ours.size > 1 and not theirs.any():
        yield ("zero",), "it is 0 there"
    elif ours.size > 1 and np.ptp(theirs) <= FITS * most:
        yield ("same",), "it is one number there"
    elif ours.size > 1 and np.ptp(theirs - ours) <= FITS * most:
        offset = f"{np.mean(theirs - ours):+.4g}"
        yield ("offset", offset), f"it is off by {offset} there"
    elif ours.size > 1 and (ratio := _ratio(ours, theirs)):
        words = "it has the other sign there" if ratio == "-1" else f"it is {ratio} times the reference there"
        yield ("ratio", ratio), words
    elif each := [axis for axis in range(right.ndim) if _ratio_each(right, got, valid, axis)]:
        axis = each[0]
        yield ("ratios", axis), f"with a factor of its own for each {axes[axis].replace('axis', 'place on axis')}"
    elif np.array_equal(np.sort(right[valid]), np.sort(got[valid])):
        yield ("order",), "with the right numbers in other places"


def _ratio(ours: Array, theirs: Array) -> str:
    """The number by which all of it is multiplied; empty if there is no such number."""
    ratio = float(np.sum(ours * theirs) / np.sum(ours * ours))
    return f"{ratio:.4g}" if largest(theirs - ratio * ours) <= FITS * largest(theirs - ours) else ""


def _ratio_each(right: Array, got: Array, valid: Array, axis: int) -> bool:
    """Whether each part along the axis is multiplied by one number; parts have at least two numbers, not all 0."""
    ours, theirs = (np.moveaxis(np.where(valid, each, 0.0), axis, 0) for each in (right, got))
    ours, theirs = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    if len(ours) < 2 or ((ours != 0).sum(1) < 2).any():
        return False
    ratio = (ours * theirs).sum(1, keepdims=True) / (ours * ours).sum(1, keepdims=True)
    return largest(theirs - ratio * ours) <= FITS * largest(theirs - ours)


def _growth(right: Array, got: Array, wrong: Array, valid: Array, axes: Sequence[str]) -> Iterator[tuple[Key, str]]:
    """Whether the error grows with the position, as a share of what the values are there."""
    if "token" not in axes:
        return
    axis = list(axes).index("token")
    others = tuple(each for each in range(right.ndim) if each != axis)
    apart, size = (np.sqrt((np.where(valid, each, 0.0) ** 2).sum(others)) for each in (got - right, right))
    places = np.flatnonzero(_along(wrong, {axis}))
    if len(places) < TOKENS:
        return
    error = (apart / np.where(size > 0, size, 1.0))[places]
    ranks = np.argsort(np.argsort(error))
    quarter = len(error) // 4
    rising = np.corrcoef(np.arange(len(error)), ranks)[0, 1] >= RANKED
    if rising and error[-quarter:].mean() >= GROWN * error[:quarter].mean():
        yield ("grows",), "growing with the position"


def _inputs(shown: Sequence[Shown]) -> Iterator[str]:
    """What those inputs have in common that show the error, and none that agree."""
    failing, agreeing = ([each for each in shown if each.agrees is agrees] for agrees in (False, True))
    if not failing or not agreeing:
        return
    if all(each.padded for each in failing) and not any(each.padded for each in agreeing):
        yield f"seen only on inputs that hold padding, {len(agreeing)} without agree"
    elif not any(each.padded for each in failing) and all(each.padded for each in agreeing):
        yield f"seen only on inputs without padding, {len(agreeing)} with it agree"
    short = max(each.tokens for each in agreeing)
    if short and min(each.tokens for each in failing) > short:
        yield f"seen only on inputs of more than {short} tokens"
