"""Which of the faults that a case's own inputs miss are caught by what `check` adds: healthy weights and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Runs, State
from harness.cases.probes import Probe
from harness.parity.examine import link, masks_by, probes_for
from harness.parity.judge import Mask
from harness.parity.planting.fault import Fault, Planted, Watched, chosen, run_with, watch
from harness.parity.planting.thresholds import Thresholds, of_probe
from harness.parity.probing import names_for, wide_runs
from harness.parity.study import Convert, Names, Study, study

AS_GIVEN = "as given, healthy weights"
LONG = 160
"""Tokens to which the probes of a large port are cut: more than the widest window that is planted. What is watched of
SmolLM2-135M on 512 tokens takes 5 GB."""


def caught_by_probes(
    sides: tuple[Runs, Runs],
    given: Watched,
    missed: Mapping[int, Fault],
    *,
    names: Names,
    mapping: Mapping[str, str],
    valid: str,
    checks: tuple[str, ...],
    convert: Convert | None,
    seed: int,
    large: bool,
    progress: Callable[[str], None],
) -> Iterator[tuple[int, str]]:
    """The faults among `missed`, by number, that a probe catches, and which; each as soon as it is.

    given: the port's run on the given inputs. What of a probe cannot be run, catches nothing.
    """
    left = dict(missed)
    call, masks_of = given.inputs, masks_by(valid)
    progress("link weights")
    pairing, _ = link(sides, call, names=names, mapping=mapping, masks=masks_of(call), checks=checks, seed=seed)
    probes = [Probe(AS_GIVEN, call), *probes_for(sides, call, valid=valid, seed=seed).taken]
    with study(*sides, pairing, names=names, seed=seed, convert=convert) as found:
        for probe in [_cut(probe) for probe in probes] if large else probes:
            progress(f"{probe.name}: {len(left)} faults left")
            for number in _caught_on(probe, found, given, left, masks_of(probe.inputs)):
                del left[number]
                yield number, probe.name
            if not left:
                return


def _cut(probe: Probe) -> Probe:
    """The probe with no more than `LONG` tokens."""
    arrays = {name: np.asarray(value) for name, value in probe.inputs.items() if hasattr(value, "shape")}
    tokens = {name: each for name, each in arrays.items() if each.ndim == 2 and each.dtype.kind in "iub"}
    return replace(probe, inputs={**probe.inputs, **{name: each[:, :LONG] for name, each in tokens.items()}})


def _caught_on(probe: Probe, found: Study, like: Watched, left: Mapping[int, Fault], masks: Mask) -> list[int]:
    side, state = found.sides[1], found.states()[1]
    try:
        watched = watch(side, probe.inputs, state, masks, like=like)
    except Exception:  # a model may refuse a probe in ways of its own: check lists it then as not taken
        return []
    every = {number: _planted(fault, watched) for number, fault in left.items()}
    changing = {number: planted for number, planted in every.items() if chosen(watched, planted)[0]}
    thresholds = _thresholds(probe, found, masks) if changing else None
    if thresholds is None or thresholds.judge(watched.outputs).caught:
        return []
    return [n for n, planted in changing.items() if _is_caught(side, watched, planted, state, thresholds)]


def _thresholds(probe: Probe, found: Study, masks: Mask) -> Thresholds | None:
    try:
        runs = wide_runs(found, probe)
    except Exception:  # as above
        return None
    return of_probe(replace(found, names=names_for(probe, found, runs, masks)), probe, runs, masks)


def _planted(fault: Fault, watched: Watched) -> Planted:
    try:
        return fault.plant(watched)
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError):
        return {}  # what fits the given inputs need not fit these


def _is_caught(side: Runs, watched: Watched, planted: Planted, state: State, thresholds: Thresholds) -> bool:
    try:
        outputs: Mapping[str, Any] = run_with(side, watched, planted, state)
    except Exception:  # a fault may give a module what it cannot take
        return False
    return thresholds.judge(outputs).caught
