"""Both sides in training mode: dropout, buffers, and steps of an optimizer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.adapters.protocols import Differentiates, Draws, Holds, Optimizer, UnsupportedError, Wide
from harness.cases.probes import Probe
from harness.parity.compare import Array, Verdict
from harness.parity.floor import EPS32, EXACT, largest
from harness.parity.judge import Line, Mask, Pair, judge, valid_part
from harness.parity.study import Study, cotangents_for, output_pairs, rounding_of, same_framework
from harness.parity.weights import Pairing, kind_of

STEPS = 3
"""Of an optimizer: the second shows its memory, the third that of a second moment."""


OPTIMIZERS: tuple[Optimizer, ...] = ("sgd", "adamw")


STEPPED = {"sgd": 1e-8, "adamw": 1e-6}
"""Times the largest weight: what steps may differ by. AdamW divides by the size of a gradient, and so makes much of the
rounding of a small one: a correct BEiT was off by 1.3e-7 after three steps, and by 4e-10 after those of SGD."""

LABELS = {"sgd": "3 steps of SGD with momentum", "adamw": "3 steps of AdamW"}


DRAWN = 48


SIGMA = 6.0
"""Standard errors that the means of two samples of `DRAWN` may lie apart, over `DIRECTIONS` directions."""


DIRECTIONS = 16


TRAINED = ("kept whole: its places and rates", "training mode")
"""What the claim about one run in training mode is called, with dropout and without any."""


def training_lines(found: Study, probe: Probe, masks: Mask, *, seed: int) -> Iterator[Line | tuple[str, str]]:
    """Training mode: dropout's places and rates, buffers; then three steps of either optimizer.

    Raises:
        UnsupportedError: a side cannot be trained, or both draw random numbers that cannot be held still.
    """
    sides = [side for side in found.sides if isinstance(side, Differentiates)]
    if len(sides) < 2:
        raise UnsupportedError("a side is a function of Python, which cannot be trained")

    def run(nudge: int | None = None, uniform: float = 0.5, seed: int = 0) -> list[Wide]:
        return [
            side.run_training(probe.inputs, state=state, seed=seed, uniform=uniform)
            for side, state in zip(sides, found.states(nudge), strict=True)
        ]

    def pairs(runs: Sequence[Wide]) -> list[Pair]:
        return [*output_pairs(found.names, runs, masks), *_buffers(found.pairing, runs)]

    start = time.perf_counter()
    both = run()
    for one, other in (both, both[::-1]):
        side = sides[1] if one is both[0] else sides[0]
        if one.dropped and not other.dropped and not side.has_training_mode():
            raise UnsupportedError(f"{side.describe()} has no training mode")
    if _statistics(found.pairing.only_reference) and not _statistics(_weight_names(sides[1])):
        raise UnsupportedError("the port has no batch statistics, so that it cannot be trained as the reference is")
    if any(np.isnan(pair.reference).any() for pair in pairs(both)):
        raise UnsupportedError("the reference puts out NaN in training mode")
    restless = [_differ(one, other) for one, other in zip(both, run(seed=1), strict=True)]
    if restless[0]:
        if same_framework(found) and not (restless[1] or both[1].dropped or both[1].uniform):
            yield Line("dropout", "drawn at all", Verdict.DIVERGE, "the reference draws random numbers, the port none")
        yield from _mean_line(found, probe, masks, seed)
        raise UnsupportedError("the reference draws random numbers in training mode that cannot be held still")
    if restless[1]:
        reason = "the port draws random numbers in training mode, the reference none"
        yield Line("train", "the same twice", Verdict.DIVERGE, reason)
        return
    dropped = any(each.dropped or each.uniform for each in both)
    check, name = ("dropout", TRAINED[0]) if dropped else ("train", TRAINED[1])
    conventional = _by_convention(found, both)
    kept = [pair for pair in pairs(both) if pair.name not in conventional]
    line = judge(check, name, kept, **rounding_of(found, both, lambda nudge: pairs(run(nudge))))
    yield replace(line, seconds=time.perf_counter() - start)
    if conventional:
        reason = "the port keeps the variance of the batch itself, (n - 1) / n of what the reference keeps"
        yield Line("train", "running variance, by convention", Verdict.AGREE, reason, compared=len(conventional))
    if dropped:
        yield from _drawn_lines(found, both, lambda uniform: run(uniform=uniform), masks)
        yield from _mean_line(found, probe, masks, seed)
    pairing = found.pairing
    left = [name for name in (*pairing.only_reference, *pairing.only_port) if name not in pairing.idle]
    if found.pairing.proposed or _trained_left(found, left):
        yield (
            "train",
            f"{len(left)} weights have no counterpart that is proved, so that the steps move different things",
        )
        return
    cotangents = cotangents_for(found, probe, masks, seed, training=True)
    for optimizer in OPTIMIZERS:
        start = time.perf_counter()
        try:
            line = _steps_line(found, sides, probe, cotangents, optimizer, both, left_out=conventional)
        except UnsupportedError as error:
            yield LABELS[optimizer], str(error)
            continue
        yield replace(line, seconds=time.perf_counter() - start)


def _drawn_lines(found: Study, both: Sequence[Wide], run: Callable[[float], list[Wide]], masks: Mask) -> Iterator[Line]:
    """How much is drawn; and, where both draw uniform numbers by themselves, what they do with small and large ones."""
    drawn = [each.dropped + each.uniform for each in both]
    if same_framework(found) and drawn[0] != drawn[1] and not _idle(found, both, run, masks):
        # Frameworks share masks between heads or rows in their own ways, which changes no mean; within one it counts.
        reason = f"{drawn[0]} random numbers are drawn in the reference, {drawn[1]} in the port"
        yield Line("dropout", "elements drawn", Verdict.DIVERGE, reason, abs(drawn[0] - drawn[1]), drawn[0], compared=1)
    elif both[1].shared > both[0].shared and not both[0].uniform:
        reason = (
            f"{both[1].shared} dropouts of the port have one mask for all tokens or channels, {both[0].shared} here"
        )
        yield Line("dropout", "masks of their own", Verdict.DIVERGE, reason, compared=1)
    if all(each.uniform for each in both):
        for uniform in (0.02, 0.98):
            yield judge("dropout", f"uniform numbers of {uniform}", output_pairs(found.names, run(uniform), masks))


def _idle(found: Study, both: Sequence[Wide], run: Callable[[float], list[Wide]], masks: Mask) -> bool:
    """Whether what one side draws more changes nothing: a layer that would be dropped with a probability of zero.

    Of uniform numbers at either end of what can be drawn, one drops whatever may be dropped at all.
    """
    if both[0].dropped != both[1].dropped:
        return False
    lines = [judge("dropout", "ends", output_pairs(found.names, run(uniform), masks)) for uniform in (0.0, 1 - 1e-9)]
    return all(line.verdict is Verdict.AGREE for line in lines)


def _mean_line(found: Study, probe: Probe, masks: Mask, seed: int) -> Iterator[Line | tuple[str, str]]:
    """The mean of the outputs over many draws of the dropped elements, seen from random directions."""
    sides = [side for side in found.sides if isinstance(side, Draws)]
    start = time.perf_counter()
    drawn = [
        side.draw(probe.inputs, draws=DRAWN, seed=first, state=state)
        for side, state, first in zip(sides, found.states(), (seed, seed + DRAWN), strict=True)
    ]
    worst, where = -1.0, ""
    generator = np.random.default_rng(seed)
    for name, target in found.names:
        samples = []
        ours = [valid_part(name, each[name], masks) for each in drawn[0] if name in each]
        theirs = [valid_part(name, each[target], masks) for each in drawn[1] if target in each]
        if not ours or not theirs or ours[0].shape != theirs[0].shape or not np.isfinite(ours[0]).all():
            continue
        size = ours[0].size
        directions = generator.normal(size=(size, DIRECTIONS)) / np.sqrt(size)
        for side in (ours, theirs):
            samples.append(np.stack([each.reshape(-1) for each in side]) @ directions)
        spread = sum(np.var(each, axis=0, ddof=1) / DRAWN for each in samples)
        # What nothing was dropped from does not scatter, but may be rounded to float32 by one side.
        spread = np.maximum(spread, max(EPS32 * max(map(largest, samples)), 1e-12) ** 2)
        apart = np.abs(samples[0].mean(axis=0) - samples[1].mean(axis=0)) / np.sqrt(spread)
        if apart.max() > worst:
            worst, where = float(apart.max()), name
    if not where:
        yield f"dropout, mean of {DRAWN} draws", "no output can be compared"
        return
    verdict = Verdict.DIVERGE if worst > SIGMA else Verdict.AGREE
    reason = f"the means of {where} lie {worst:.1f} standard errors apart" if worst > SIGMA else ""
    yield Line(
        "dropout", f"mean of {DRAWN} draws", verdict, reason, worst, SIGMA, SIGMA, where, 1, time.perf_counter() - start
    )


def _steps_line(
    found: Study,
    sides: Sequence[Differentiates],
    probe: Probe,
    cotangents: Sequence[Mapping[str, Array]],
    optimizer: Optimizer,
    runs: Sequence[Wide],
    *,
    left_out: Collection[str],
) -> Line:
    # What the reference does not train is not trained in the port either: its gradient has been compared.
    weights = found.sides[0].weights() if isinstance(found.sides[0], Holds) else {}
    statistics = {name for name in weights if _statistics([name])}
    frozen = {name for name, weight in weights.items() if not weight.trained} - statistics
    held = (frozen, {link.port for link in found.pairing.certain if link.reference in frozen} | {*found.pairing.idle})

    def run(nudge: int | None) -> list[Pair]:
        after = [
            side.train(probe.inputs, cotangent, optimizer=optimizer, steps=STEPS, frozen=names, state=state)
            for side, cotangent, names, state in zip(sides, cotangents, held, found.states(nudge), strict=True)
        ]
        # A mask may hold infinities, and stays what it is.
        if not all(np.isfinite(each).all() for name, each in after[0].items() if name not in frozen):
            raise UnsupportedError("the reference's weights are no numbers afterwards")
        scale = max(largest(each) for each in after[0].values())
        pairs = []
        for link in found.pairing.certain:
            if link.reference in left_out or link.reference in frozen:
                continue
            ours = link.of_reference(after[0][link.reference])
            theirs = link.to_reference(link.of_port(after[1][link.port]), ours.shape)
            pairs.append(Pair(link.reference, ours, theirs, scale))
        return pairs

    moves = rounding_of(found, runs, run)
    return judge("train", LABELS[optimizer], run(None), exact=STEPPED[optimizer], **moves)


def _buffers(pairing: Pairing, runs: Sequence[Wide]) -> list[Pair]:
    """What a run in training mode left in the linked buffers."""
    pairs = []
    for link in pairing.certain:
        if link.reference in runs[0].buffers and link.port in runs[1].buffers:
            ours = link.of_reference(runs[0].buffers[link.reference])
            theirs = link.to_reference(link.of_port(runs[1].buffers[link.port]), ours.shape)
            pairs.append(Pair(link.reference, ours.astype(np.float64), theirs.astype(np.float64)))
    return pairs


def _trained_left(found: Study, left: Sequence[str]) -> bool:
    """Whether a parameter, or a statistic, of one side has no counterpart."""
    for side, names in zip(found.sides, (found.pairing.only_reference, found.pairing.only_port), strict=True):
        weights = side.weights() if isinstance(side, Holds) else {}
        if any(weights[name].trained for name in names if name not in found.pairing.idle):
            return True
    return not left and not found.pairing.links


def _statistics(names: Collection[str]) -> bool:
    """Whether any name is that of the running mean or variance of a batch normalisation."""
    return any(name.rpartition(".")[2] in ("running_mean", "running_var", "mean", "var") for name in names)


def _weight_names(side: object) -> Collection[str]:
    return side.weights() if isinstance(side, Holds) else ()


def _by_convention(found: Study, runs: Sequence[Wide]) -> frozenset[str]:
    """The running variances that differ by nothing but what the two frameworks mean by them.

    PyTorch keeps the unbiased variance of a batch, v n / (n - 1), Flax v itself (flax/linen/normalization.py, as in
    the paper's algorithm 1; torch/nn/modules/batchnorm.py). With r = (n - 1) / n and the momentum m the new values
    are then new_port = r new_reference + (1 - r) (1 - m) old, with the same n >= 2 and m for all channels.
    """
    if same_framework(found):
        return frozenset()
    weights = found.sides[0].weights() if isinstance(found.sides[0], Holds) else {}
    names = []
    for pair in _buffers(found.pairing, runs):
        if kind_of(pair.name) != "var" or pair.reference.size < CHANNELS:
            continue
        old = found.values[0].get(pair.name, weights[pair.name].array).astype(np.float64).reshape(-1)
        new, port = pair.reference.reshape(-1), pair.port.reshape(-1)
        (share, rest), *_ = np.linalg.lstsq(np.stack([new, old], axis=1), port, rcond=None)
        exact = largest(share * new + rest * old - port) <= EXACT * largest(new)
        count = 1 / (1 - share) if 0 < share < 1 else 0.0
        momentum = 1 - rest / (1 - share) if 0 < share < 1 else 0.0
        if exact and count > 1.5 and abs(count - round(count)) < 1e-4 * count and 1e-4 < momentum <= 1:
            names.append(pair.name)
    return frozenset(names)


CHANNELS = 4
"""Values that two unknowns are told from, with some to spare."""


def _differ(one: Wide, other: Wide) -> bool:
    return any(not np.array_equal(one.outputs[name], other.outputs[name], equal_nan=True) for name in one.outputs)
