"""Which modules are at fault: those whose output is wrong on right inputs, or that hand wrong inputs on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import FORWARD, Array, Mode, Replays, State, UnsupportedError
from harness.parity.calls import CallPair, pair_calls
from harness.parity.causes.evidence import Evidence
from harness.parity.floor import largest
from harness.parity.forced import Runner, View, as_they_are, distance, forced
from harness.parity.judge import Mask
from harness.parity.suspects import ROUNDING, Found, Moved, errors
from harness.parity.weights import Pairing, split_name
from harness.parity.witness import Blame, gather, weights_of


@dataclass(frozen=True, slots=True)
class Module:
    """A module on both sides, and where its error comes from; errors are relative to the largest reference value.

    local: of its output, computed from the reference's inputs. total: of its output in the port as it runs. inherited:
    how far the two outputs of the port are apart. amplification: inherited over the error of its inputs.
    handed: of an input that it is given by its caller, where that has the reference's inputs; 0 where they agree.
    """

    path: str
    port_path: str
    kind: str
    shape: tuple[int, ...]
    local: float = 0.0
    total: float = 0.0
    inherited: float = 0.0
    amplification: float | None = None
    handed: float = 0.0


@dataclass(frozen=True, slots=True)
class Faulty:
    """A module at fault. Both paths are empty for the model itself.

    check: forward, gradients, decode or train. how: what it does wrong, in words.
    error, scale: the largest |reference - port|, in float64, and the largest reference value; worst: its index, with
    both values. It is of an output, or of what a module inside is given: `how` says so.
    probe: the inputs on which this was seen.
    """

    path: str
    port_path: str
    kind: str
    check: str
    how: str
    error: float
    scale: float
    shape: tuple[int, ...] = ()
    worst: tuple[int, ...] = ()
    reference: float = 0.0
    port: float = 0.0
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """What the runs showed. runs: how many there were, each as long as one of the whole model.

    evidence: of the modules at fault forwards, by path, one for each array that is wrong there.
    """

    modules: tuple[Module, ...]
    faulty: tuple[Faulty, ...]
    view: View
    runs: int
    evidence: Mapping[str, Mapping[str, Evidence]] = field(default_factory=dict)


def locate(
    sides: Sequence[Any],
    inputs: Mapping[str, Any],
    states: tuple[State, State],
    *,
    masks: Mask,
    mapping: Mapping[str, str],
    pairing: Pairing,
    moved: Moved,
    modes: tuple[Mode, Mode] = (FORWARD, FORWARD),
    check: str = "forward",
    probe: str = "",
) -> Located:
    """The modules at fault on these inputs, in these modes of the reference and of the port.

    Raises:
        UnsupportedError: the modules of a side cannot be reached, or none corresponds.
    """
    for side, who in zip(sides, ("reference", "port"), strict=True):
        if not isinstance(side, Replays):
            raise UnsupportedError(f"the {who} is a function without modules")
    run = Runner(sides, inputs, states, (replace(modes[0], cotangents=None), replace(modes[1], cotangents=None)))
    reference, port = run(0), run(1)
    pairs, unsure = pair_calls(reference, port, mapping=mapping, pairing=pairing)
    if len(pairs) < 2:
        raise UnsupportedError("no module of the port corresponds to one of the reference: give a mapping")
    view = forced(run, reference, port, pairs, masks)
    if doubted := _doubted(view, unsure):
        pairs = _without(pairs, doubted)
        view = forced(run, reference, port, pairs, masks)
    gradients: Mapping[str, Array] = {}
    if modes[0].cotangents is not None:
        run.modes = modes
        reference = run(0)
        gradients = run.gradients
        view = forced(run, reference, run(1), {name: _reversed(pair) for name, pair in pairs.items()}, masks)
    view, blames, wrong = _settled(run, view, moved)
    modules = tuple(_row(view, name, *wrong) for name in view.pairs if name)
    faulty = {path: blamed(view, each, check, probe) for path, each in blames.items()}
    for each in (*_parameters(view, gradients, pairing, check, probe), *_draws(sides, view, check, probe)):
        faulty.setdefault(each.path, each)
    evidence: dict[str, dict[str, Evidence]] = {}
    if modes[0].cotangents is None:
        held = [weights_of(side, state) for side, state in zip(sides, states, strict=True)]
        for path, reasons in blames.items():
            for blame in reasons:
                found = gather(view, blame, held)
                if found is not None:
                    evidence.setdefault(path, {})[f"{blame.call} {blame.handed}"] = found
    return Located(modules, tuple(faulty.values()), view, run.count, evidence)


def _reversed(pair: CallPair) -> CallPair:
    """The pair backwards: given are the gradients of its outputs, put out those of its inputs."""
    inputs, outputs = (
        tuple(leaf for leaf in leaves if leaf.keeps_all and not leaf.is_mask) for leaves in (pair.inputs, pair.outputs)
    )
    return CallPair(pair.name, pair.port_name, outputs, inputs)


def _parameters(
    view: View, gradients: Mapping[str, Array], pairing: Pairing, check: str, probe: str
) -> Iterator[Faulty]:
    """The modules whose parameters have wrong gradients though those of their outputs are right."""
    scale = max((largest(each) for each in gradients.values()), default=0.0)
    for link in pairing.certain:
        if link.reference not in gradients or link.port not in view.gradients:
            continue
        ours = link.of_reference(gradients[link.reference])
        theirs = link.to_reference(link.of_port(view.gradients[link.port]), ours.shape)
        apart = distance(ours, theirs, {})
        path, leaf = split_name(link.reference)
        if apart.error > ROUNDING * scale and path in view.reference:
            yield Faulty(
                path,
                split_name(link.port)[0],
                view.reference[path].kind,
                check,
                f"the gradient of its {leaf} is wrong",
                apart.error,
                apart.scale,
                ours.shape,
                apart.worst,
                apart.reference,
                apart.port,
                probe,
            )


def _draws(sides: Sequence[Any], view: View, check: str, probe: str) -> Iterator[Faulty]:
    """The modules that draw other masks in training; frameworks share masks in their own ways, so within one alone."""
    if len({side.describe().split()[0] for side in sides}) > 1:
        return
    for name, pair in view.pairs.items():
        ours, theirs = view.reference[pair.name], view.port[name]
        if ours.drawn != theirs.drawn:
            (elements, masks), (others, shared) = ours.drawn, theirs.drawn
            how = f"draws {others} random numbers for {elements}"
            if elements == others:
                how = f"{shared} of its masks are one for all tokens or channels, {masks} in the reference"
            paths = _plain(pair.name), _plain(name)
            yield Faulty(*paths, ours.kind, check, how, abs(elements - others), elements, probe=probe)


def _settled(run: Runner, view: View, moved: Moved) -> tuple[View, Blames, tuple[Found, Found]]:
    """The blames of those pairs that mean the same on both sides.

    Two sides may divide their work between modules in another way: one then puts out something else, and another makes
    up for it. Where a pair is left out and another module is not blamed any more, the two were such.
    """
    wrong = errors(run, view, moved)
    blames = _blames(view, *wrong)
    groups: dict[tuple[str, str], set[str]] = {}
    for path, each in blames.items():
        if path and not each[0].handed:
            kinds = (view.reference[view.pairs[each[0].call].name].kind, view.port[each[0].call].kind)
            if kinds[0] == kinds[1]:
                continue  # one class divides its work in one way
            groups.setdefault(kinds, set()).update(blame.call for blame in each)
    if len(blames) < 2 or len(groups) > GROUPS:
        return view, blames, wrong
    for calls in groups.values():
        less = forced(run, view.reference, view.port, _without(view.pairs, calls), view.masks)
        fewer = errors(run, less, moved)
        left = _blames(less, *fewer)
        paths = {path for path, each in blames.items() if any(blame.call in calls for blame in each)}
        if left.keys() < blames.keys() - paths:
            view, blames, wrong = less, left, fewer
    return view, blames, wrong


GROUPS = 4
"""Kinds of modules that are tried in this way; so many at once are at fault in a port that is wrong all over."""


def _without(pairs: Mapping[str, CallPair], names: Collection[str]) -> dict[str, CallPair]:
    return {name: pair for name, pair in pairs.items() if name not in names}


def _doubted(view: View, unsure: frozenset[str]) -> set[str]:
    """Calls paired by their parts alone, of classes of which no pair computes the same: they mean something else."""

    def kinds(name: str) -> tuple[str, str]:
        return view.reference[view.pairs[name].name].kind, view.port[name].kind

    agreeing = {kinds(name) for name in unsure if view.own(name) is None and view.handed(name) is None}
    return {name for name in unsure if kinds(name) not in agreeing}


Blames = Mapping[str, Sequence[Blame]]


def _blames(view: View, own: Found, handed: Found) -> Blames:
    """By the reference's path, in the order in which the calls ended."""
    found: dict[str, list[Blame]] = {}
    for name in view.fed:
        if name in handed:
            leaf, apart = handed[name]
            maker = "" if view.gradients else view.maker(name, leaf)
            caller = view.caller(name)
            path = _plain(maker or view.pairs[caller].name)
            blame = Blame(path, _plain(caller), name, leaf, apart, handed=True, made=bool(maker))
            found.setdefault(path, []).append(blame)
        if name in own:
            path = _plain(view.pairs[name].name)
            found.setdefault(path, []).append(Blame(path, _plain(name), name, *own[name], handed=False))
    return found


def _plain(name: str) -> str:
    """The path without the number of the call."""
    return name.split("#")[0]


def blamed(view: View, blames: Sequence[Blame], check: str, probe: str) -> Faulty:
    """What is said of the module of these blames; the first counts."""
    first = blames[0]
    apart, leaf = first.apart, first.leaf
    pair = view.pairs[first.call]
    ours = view.reference[pair.name]
    what = "gradient" if check == "gradients" else "output"
    how = "its inputs agree and its output does not"
    if first.made:
        how = f"its {what} is wrong"
    elif check == "gradients":
        how = (
            f"hands back a wrong gradient to {pair.name}"
            if first.handed
            else f"its gradient to {leaf.reference} is wrong"
        )
    elif first.handed:
        how = f"hands {_plain(pair.name)} {'no' if np.isnan(apart.error) else 'a wrong'} {leaf.reference}"
    if check == "decode":
        how += f", first in step {first.call.partition('#')[2] or 1}"
    return Faulty(
        first.path,
        first.port_path,
        view.reference[first.path].kind,
        check,
        how,
        apart.error,
        apart.scale,
        np.shape((ours.inputs if first.handed else ours.outputs).get(leaf.reference, ())),
        apart.worst,
        apart.reference,
        apart.port,
        probe,
    )


def _row(view: View, name: str, own: Found, handed: Found) -> Module:
    """The row of the table."""
    pair = view.pairs[name]
    ours, theirs = view.reference[pair.name], view.port[name]
    total = view.worst(ours.outputs, theirs.outputs, pair.outputs)
    inputs = view.worst(ours.inputs, theirs.inputs, pair.inputs)
    same = view.worst(view.fed[name].outputs, theirs.outputs, as_they_are(pair.outputs)) if name in view.fed else None
    inherited = same[1].relative if same else 0.0
    return Module(
        pair.name,
        name,
        ours.kind,
        np.shape(next(iter(ours.outputs.values()), ())),
        local=own[name][1].relative if name in own else 0.0,
        total=total[1].relative if total else 0.0,
        inherited=inherited,
        amplification=inherited / inputs[1].relative if inputs and inputs[1].relative else None,
        handed=handed[name][1].relative if name in handed else 0.0,
    )
