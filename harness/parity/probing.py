"""The outputs on probes, and step by step with a cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.adapters.decoding import token_name
from harness.adapters.protocols import Chunk, Decodes, UnsupportedError, Wide
from harness.cases.probes import LEFT, Probe, Probes
from harness.parity.clearest import clearest
from harness.parity.compare import Verdict
from harness.parity.judge import Line, Mask, Moved, Pair, judge, mask_for
from harness.parity.study import Names, Study, output_pairs, rounding_of
from harness.parity.wide import stays_short


def probe_lines(
    found: Study, probes: Probes, masks_of: Callable[[Mapping[str, Any]], Mask]
) -> Iterator[Line | tuple[str, str]]:
    """A line for each probe that both sides take, and for each other its name with the reason."""
    for probe in probes.taken:
        start = time.perf_counter()
        try:
            runs = wide_runs(found, probe)
        except UnsupportedError as error:
            yield probe.name, str(error)
            continue
        masks = masks_of(probe.inputs)
        pairs = output_pairs(names_for(probe, found, runs, masks), runs, masks)
        if not pairs:
            yield probe.name, "no output has a value a token"
            continue
        if any(np.isnan(pair.reference).any() for pair in pairs):
            yield probe.name, "the reference puts out NaN"
            continue
        kept = replace(found, names=names_for(probe, found, runs, masks))
        line = judge("forward", probe.name, pairs, **rounding_of(found, runs, moved_by(kept, probe, masks, runs)))
        yield replace(_excerpted(line, probe, kept.names, runs, masks), seconds=time.perf_counter() - start)


def _excerpted(line: Line, probe: Probe, names: Names, runs: Sequence[Wide], masks: Mask) -> Line:
    """The line with what it takes to see its error, if it has one."""
    if line.verdict is Verdict.AGREE:
        return line
    return replace(line, excerpt=clearest(probe.inputs, names, [run.outputs for run in runs], masks))


def names_for(probe: Probe, found: Study, runs: Sequence[Wide], masks: Mask) -> Names:
    """The outputs that mean something: padded on the left, one that is pooled may be that of a padding token."""
    if not probe.name.startswith(LEFT):
        return found.names
    outputs = runs[0].outputs
    marked = {name for name, array in outputs.items() if mask_for(name, array, masks) is not None}
    return [each for each in found.names if each[0] in marked]


def wide_runs(found: Study, probe: Probe) -> list[Wide]:
    """Both sides on a probe.

    Raises:
        UnsupportedError: a side raised, or has no float64.
    """
    runs = []
    for side, state, who in zip(found.sides, found.states(), ("reference", "port"), strict=True):
        try:
            runs.append(side.run_wide(probe.inputs, state=state))
        except Exception as error:
            text = str(error).strip().splitlines()
            raise UnsupportedError(
                f"the {who} raised {type(error).__name__}: {text[0][:120] if text else ''}"
            ) from error
        if refusal := stays_short(runs[-1]):
            raise UnsupportedError(f"the {who} {refusal}")
    return runs


def moved_by(found: Study, probe: Probe, masks: Mask, first: Sequence[Wide]) -> Moved:
    """The outputs once more, with what either side has stored for itself moved by rounding."""

    def moved(seed: int) -> list[Pair]:
        runs = [
            side.run_wide(probe.inputs, state=state)
            for side, state in zip(found.sides, found.states(seed), strict=True)
        ]
        pairs = output_pairs(found.names, runs, masks)
        if not found.values[0] and any(run.islands for run in first):
            # As it is stored, the reference can be run in float32 as well: what rounding does to it is known.
            short = Wide(found.sides[0].run(probe.inputs))
            pairs += [
                Pair(one.name, one.reference, other.port)
                for one, other in zip(output_pairs(found.names, [short, runs[1]], masks), pairs, strict=True)
            ]
        return pairs

    return moved


CACHED = ", with a cache"
"""Follows the name of the probe in the lines of decoding."""


def decode_lines(found: Study, probe: Probe, masks_of: Callable[[Mapping[str, Any]], Mask]) -> Iterator[Line]:
    """Both sides step by step with a cache, the first half of the tokens at once.

    Raises:
        UnsupportedError: a side takes no cache.
    """
    sides = [side for side in found.sides if isinstance(side, Decodes)]
    if len(sides) < 2:
        raise UnsupportedError("a side is a function of Python, which takes no cache")
    inputs = probe.inputs
    length = np.shape(inputs[token_name(inputs)])[1]
    first = max(1, length // 2)
    chunks = [Chunk(0, first), *(Chunk(at, at + 1) for at in range(first, length))]
    start = time.perf_counter()
    both = [side.decode(inputs, chunks, state=state) for side, state in zip(sides, found.states(), strict=True)]
    names = [(a, b) for a, b in found.names if a in both[0].outputs and b in both[1].outputs]
    if not names:
        raise UnsupportedError("no output has a value a token")
    masks = masks_of(inputs)

    def again(nudge: int) -> list[Pair]:
        moved = [
            side.decode(inputs, chunks, state=state) for side, state in zip(sides, found.states(nudge), strict=True)
        ]
        return output_pairs(names, moved, masks)

    line = judge("decode", f"{probe.name}{CACHED}", output_pairs(names, both, masks), **rounding_of(found, both, again))
    yield replace(_excerpted(line, probe, names, both, masks), seconds=time.perf_counter() - start)
