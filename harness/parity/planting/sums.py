"""Faults of what a module does itself with those inside it: residuals, where the norm stands, pooling."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations

from harness.parity.causes.pooling import POOLS
from harness.parity.compare import Array
from harness.parity.planting.evidence import close, earlier, floats, maybe
from harness.parity.planting.fault import Fault, Site, Watched, once, path_of
from harness.parity.planting.norms import Known, known_norm

MOST = 10
"""Arrays at hand that are tried: 45 pairs."""


def sum_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """What the call puts out, or gives to one inside, is a sum of two arrays at hand, or pooled from one."""
    inside = watched.inside(name)
    if not inside:
        return
    path = path_of(name)
    for site, residual, other in _sums(watched, name):
        yield Fault("residual missing", "it is not added", path, once(site, other.of))
        norm = known_norm(watched, site.call) if site.given else None
        if norm is not None:
            before = partial(_norm_first, norm, site.call, residual, other)
            what = "before the residual is added, not after"
            yield Fault("norm placement", what, path, once(Site(site.call), before))
    for child in inside.values():
        for leaf, array in floats(child).items():
            yield from _pooled(watched, name, Site(child.name, leaf, given=True), array)


def _sums(watched: Watched, name: str) -> Iterator[tuple[Site, Site, Site]]:
    """Sites that hold a sum; the term that was there first, and the other."""
    inside = watched.inside(name)
    given = [Site(child, leaf, given=True) for child, call in inside.items() for leaf in floats(call)]
    targets = [*given, *([Site(name)] if name else [])]
    order = [*inside, name]
    done: list[Array] = []
    for site in targets:
        target = site.of(watched)
        if target is None or target.ndim < 2 or any(maybe(target, each) for each in done):
            continue
        # What was given to an earlier one may be a sum itself, which nothing put out.
        before = [each for each in given if order.index(each.call) < order.index(site.call)]
        at_hand = [*earlier(watched, name, site), *before]
        arrays = {each: array for each in at_hand if (array := each.of(watched)) is not None}
        fitting: list[Site] = []
        for each, array in arrays.items():
            fits = array.shape == target.shape and not maybe(array, target)
            if fits and array.any() and not any(maybe(array, arrays[other]) for other in fitting):
                fitting.append(each)
        for one, other in combinations(fitting[:MOST], 2):
            few = [arrays[each].reshape(-1)[:64] for each in (one, other)]
            if close(few[0] + few[1], target.reshape(-1)[:64]) and close(arrays[one] + arrays[other], target):
                done.append(target)
                # A child that put one of them out came later than what was given.
                first, second = (one, other) if one.given or not other.given else (other, one)
                yield site, first, second
                break


def _norm_first(norm: Known, name: str, residual: Site, other: Site, watched: Watched) -> Array | None:
    first, second = residual.of(watched), other.of(watched)
    normed = None if second is None else norm(watched, name, second)
    return None if first is None or normed is None else first + normed


def _pooled(watched: Watched, name: str, site: Site, array: Array) -> Iterator[Fault]:
    for leaf, given in floats(watched.calls[name]).items():
        if given.ndim != array.ndim + 1 or array.ndim != 2:
            continue
        taken = next((key for key, pool in POOLS.items() if close(pool(given), array)), None)
        for key in POOLS if taken else ():
            if key != taken and key in ("the mean of all tokens", "the last token", "the first token"):
                source = Site(name, leaf, given=True)
                plant = once(site, partial(_pool, key, source))
                yield Fault("pooling", f"{key} for {taken}", path_of(name), plant)


def _pool(key: str, source: Site, watched: Watched) -> Array | None:
    given = source.of(watched)
    return None if given is None else POOLS[key](given)
