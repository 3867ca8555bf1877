"""When the verdict is not "agree": where the fault is. Runs only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from harness.adapters.decoding import token_name
from harness.adapters.protocols import FORWARD, Chunk, Holds, Mode, UnsupportedError
from harness.cases.probes import Probe
from harness.parity.buffers import evidence_of, wrong_buffers
from harness.parity.causes import Cause, prove
from harness.parity.causes.describe import Description
from harness.parity.compare import Verdict, plain
from harness.parity.configured import configured
from harness.parity.excerpt import Excerpt
from harness.parity.forced import Runner
from harness.parity.judge import Line, Mask
from harness.parity.localise import Faulty, Located, Module, locate
from harness.parity.probing import CACHED
from harness.parity.specimen import Specimen, specimens
from harness.parity.steps import ROUNDS, Step, steps
from harness.parity.study import Study, cotangents_for
from harness.parity.unexplained import descriptions, heads_of, shown_by
from harness.parity.weights import Link

SMALL = 10_000_000
"""Weights: a smaller port is run on up to `PROBES` inputs that show a fault; a larger one on an excerpt of the clearest
of them, and on all of it only if nothing is at fault there."""
PROBES = 3


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The modules at fault, in the order of execution, and every module's share in the error.

    causes: of those modules whose cause is proved, one each. descriptions: of the errors of the others.
    configured: path -> what the configurations of both sides say of its cause. steps: the whole port as it is, and with
    one cause mended after the other. probe: the inputs of the table and the steps. runs: how many runs of a whole side
    it took. why_not: why there is none.
    """

    faulty: tuple[Faulty, ...] = ()
    modules: tuple[Module, ...] = ()
    probe: str = ""
    runs: int = 0
    causes: tuple[Cause, ...] = ()
    descriptions: tuple[Description, ...] = ()
    configured: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    why_not: str = ""
    specimens: tuple[Specimen, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the specimens, which are arrays and text of scripts, are left out."""
        values: dict[str, Any] = plain(asdict(replace(self, specimens=())))
        del values["specimens"]
        return values


@dataclass(frozen=True, slots=True)
class Situation:
    """Inputs, weights and modes in which a claim fails. check: of which kind it is. excerpt: what to try first."""

    check: str
    study: Study
    probe: Probe
    modes: tuple[Mode, Mode] = (FORWARD, FORWARD)
    excerpt: Situation | None = None


def diagnose(
    found: Study,
    lines: Sequence[Line],
    probes: Sequence[Probe],
    *,
    richest: Probe,
    given_fails: bool,
    given_excerpt: Excerpt | None = None,
    masks_of: Callable[[Mapping[str, Any]], Mask],
    mapping: Mapping[str, str],
    seed: int,
) -> Diagnosis:
    """Where the claims that fail go wrong; backwards, step by step or in training only where forwards nothing does.

    given_fails: whether the first probe, the given call, fails with the weights as they are stored. given_excerpt: what
    of it shows that. richest: the probe of gradients and training.
    """
    try:
        return _diagnosed(
            found,
            lines,
            probes,
            richest=richest,
            given_fails=given_fails,
            given_excerpt=given_excerpt,
            masks_of=masks_of,
            mapping=mapping,
            seed=seed,
        )
    except Exception as error:  # the verdict stands without it
        return Diagnosis(why_not=_raised(error))


def _raised(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"raised {type(error).__name__}: {text[0][:120] if text else ''}"


def _diagnosed(
    found: Study,
    lines: Sequence[Line],
    probes: Sequence[Probe],
    *,
    richest: Probe,
    given_fails: bool,
    given_excerpt: Excerpt | None,
    masks_of: Callable[[Mapping[str, Any]], Mask],
    mapping: Mapping[str, str],
    seed: int,
) -> Diagnosis:
    failing = [line for line in lines if line.verdict is not Verdict.AGREE]
    located: list[tuple[Situation, Located]] = []
    why_not = ""
    excerpt = given_excerpt if given_fails else None
    for situation in _situations(
        found, failing, probes, richest, masks_of, given_fails=given_fails, excerpt=excerpt, seed=seed
    ):
        if located and situation.check != located[0][0].check and any(each.faulty for _, each in located):
            break
        try:
            located.append(_least(situation, masks_of, mapping))
        except UnsupportedError as error:
            why_not = why_not or str(error)
        except Exception as error:  # a model may fail in ways of its own when its modules are run on other inputs
            why_not = why_not or _raised(error)
    faulty: dict[str, Faulty] = {}
    for _, each in located:
        for one in each.faulty:
            faulty.setdefault(one.path, one)
    if not any(one.check in ("forward", "gradients") for one in faulty.values()):
        kept = list(wrong_buffers(found, failing))
        for one, _ in kept:
            faulty.setdefault(one.path, one)
        located = [_with_buffers(*each, [link for _, link in kept]) for each in located]
    if not faulty and given_fails and located and all(each.view.outputs_agree for _, each in located):
        short = "in float64 its outputs agree and in its own type they do not: it computes in a shorter type"
        faulty[""] = Faulty("", "", "", "forward", short, float("nan"), 0.0, probe=probes[0].name)
    if not located:
        return Diagnosis(tuple(faulty.values()), why_not=why_not)
    situation, best = max(located, key=lambda each: len(each[1].faulty))
    order = [name.split("#")[0] for name in best.view.reference]
    ranked = sorted(faulty.values(), key=lambda each: order.index(each.path) if each.path in order else len(order))
    runs = sum(each.runs for _, each in located)
    nothing = "" if faulty else why_not or "every module computes what the reference's does, on its inputs"
    causes = tuple(_causes(ranked, [each for _, each in located]))
    said = _configured(found, causes)
    mended, more = _steps(situation, best, ranked, causes, found=bool(said or found.pairing.different))
    return Diagnosis(
        faulty=tuple(ranked),
        modules=best.modules,
        probe=situation.probe.name,
        runs=runs + more,
        causes=causes,
        descriptions=tuple(
            descriptions(
                [each for each in ranked if each.path not in {cause.path for cause in causes}],
                [(situation.probe.inputs, each) for situation, each in located],
                shown_by(lines, probes, masks_of),
                heads=heads_of(found.sides[0]),
            )
        ),
        configured=said,
        steps=mended,
        why_not=nothing,
        specimens=tuple(_specimens(ranked, causes, located)),
    )


def _configured(found: Study, causes: Sequence[Cause]) -> dict[str, str]:
    """What the configurations say of the causes, by path."""
    settings = [side.settings() if isinstance(side, Holds) else {} for side in found.sides]
    said = {cause.path: configured(cause, settings[0], settings[1]) for cause in causes}
    return {path: words for path, words in said.items() if words}


def _steps(
    situation: Situation, best: Located, faulty: Sequence[Faulty], causes: Sequence[Cause], *, found: bool
) -> tuple[tuple[Step, ...], int]:
    """The steps by which the error falls when causes are mended, and how many runs that took.

    They are asked for where there is more than one cause, or where the preflight `found` one that is proved.
    """
    several = len({cause.name for cause in causes}) + (len(causes) < len(faulty)) > 1
    if situation.check != "forward" or not causes or not (several or found):
        return (), 0
    study = situation.study
    run = Runner(study.sides, situation.probe.inputs, study.states(), situation.modes)
    try:
        rounds = ROUNDS if _size(study) <= SMALL else 2
        return steps(run, best.view, faulty, causes, best.blames, rounds=rounds), run.count
    except Exception:  # the diagnosis stands without them; a model may fail in ways of its own
        return (), run.count


def _with_buffers(situation: Situation, located: Located, links: Sequence[Link]) -> tuple[Situation, Located]:
    """With what is known of wrong buffers, where the run was one in training mode."""
    if situation.check != "train" or not links:
        return situation, located
    shown = evidence_of(situation.study, links, situation.probe.inputs, located.view.reference)
    evidence = {path: list(each) for path, each in located.evidence.items()}
    for path, each in shown.items():
        steps = evidence.setdefault(path, [])
        steps[:1] = [{**(steps[0] if steps else {}), **each}]
    return situation, replace(located, evidence=evidence)


def _specimens(
    faulty: Sequence[Faulty], causes: Sequence[Cause], located: Sequence[tuple[Situation, Located]]
) -> Iterator[Specimen]:
    """Of the modules at fault in the first situation that shows any."""
    for situation, each in located:
        if each.faulty:
            study, paths = situation.study, {one.path for one in each.faulty}
            shown = [one for one in faulty if one.path in paths]
            try:
                yield from specimens(
                    study.sides,
                    situation.probe.inputs,
                    study.states(),
                    each.view,
                    shown,
                    causes,
                    output=study.names[0][1],
                )
            except Exception as error:  # the diagnosis stands without it
                yield Specimen(shown[0], None, why_not=_raised(error))
            return


def _causes(faulty: Sequence[Faulty], located: Sequence[Located]) -> Iterator[Cause]:
    """The causes that are proved, in the order of the modules at fault."""
    for each in faulty:
        evidence = [step for one in located for step in one.evidence.get(each.path, ())]
        cause = prove(evidence, each.port_path) if evidence else None
        if cause is not None:
            yield cause


def _least(
    situation: Situation, masks_of: Callable[[Mapping[str, Any]], Mask], mapping: Mapping[str, str]
) -> tuple[Situation, Located]:
    """What is at fault on the excerpt; where nothing is, on all of the inputs."""
    runs = 0
    if situation.excerpt is not None:
        with suppress(Exception):  # a model may want more tokens than are left, or all rows
            found = _locate(situation.excerpt, masks_of, mapping)
            if found.faulty:
                return situation.excerpt, found
            runs = found.runs
    found = _locate(situation, masks_of, mapping)
    return situation, replace(found, runs=runs + found.runs)


def _locate(situation: Situation, masks_of: Callable[[Mapping[str, Any]], Mask], mapping: Mapping[str, str]) -> Located:
    study, probe = situation.study, situation.probe
    return locate(
        study.sides,
        probe.inputs,
        study.states(),
        masks=masks_of(probe.inputs),
        mapping=mapping,
        pairing=study.pairing,
        moved=study.states,
        modes=situation.modes,
        check=situation.check,
        probe=probe.name,
    )


def _situations(
    found: Study,
    failing: Sequence[Line],
    probes: Sequence[Probe],
    richest: Probe,
    masks_of: Callable[[Mapping[str, Any]], Mask],
    *,
    given_fails: bool,
    excerpt: Excerpt | None,
    seed: int,
) -> Iterator[Situation]:
    """Forwards first, on the inputs that show most; then backwards, with a cache, and in training."""
    by_name = {probe.name: probe for probe in probes}
    forward = [line for line in failing if line.check == "forward" and line.probe in by_name]
    # The richest first: what depends on masks, types or the vocabulary's edges may not show on the others.
    forward.sort(key=lambda line: (line.probe != richest.name, -(line.error / (line.scale or 1.0))))
    large = _size(found) > SMALL

    def excerpted(make: Callable[[Probe], Situation], probe: Probe, excerpt: Excerpt | None) -> Situation:
        short = make(Probe(f"{probe.name}, {excerpt}", excerpt.of(probe.inputs))) if large and excerpt else None
        return replace(make(probe), excerpt=short)

    for line in forward[: 1 if large else PROBES]:
        yield excerpted(partial(Situation, "forward", found), by_name[line.probe], line.excerpt)
    if not forward and given_fails:
        stored = replace(found, values=({}, {}))
        yield excerpted(partial(Situation, "forward", stored), probes[0], excerpt)
    checks = {line.check for line in failing}
    if "gradients" in checks:
        ours, theirs = cotangents_for(found, richest, masks_of(richest.inputs), seed)
        yield Situation("gradients", found, richest, (Mode(cotangents=ours), Mode(cotangents=theirs)))
    for line in failing:
        probe = by_name.get(line.probe.removesuffix(CACHED)) if line.check == "decode" else None
        if probe is not None:
            yield excerpted(partial(_stepwise, found), probe, line.excerpt)
            break
    if checks & {"train", "dropout"}:
        yield Situation("train", found, richest, (Mode(training=True), Mode(training=True)))


def _stepwise(found: Study, probe: Probe) -> Situation:
    length = np.shape(probe.inputs[token_name(probe.inputs)])[1]
    steps = Mode(chunks=tuple(Chunk(at, at + 1) for at in range(length)))
    return Situation("decode", found, probe, (steps, steps))


def _size(found: Study) -> int:
    port = found.sides[1]
    return sum(weight.array.size for weight in port.weights().values()) if isinstance(port, Holds) else 0
