"""Which modules are at fault: those whose output is wrong on right inputs, or that hand wrong inputs on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import FORWARD, Array, Leaves, Mode, Replays, State, UnsupportedError
from harness.parity.calls import CallPair, Calls, Leaf, pair_calls
from harness.parity.causes.evidence import Evidence
from harness.parity.floor import EXACT, largest
from harness.parity.forced import Apart, Runner, View, as_they_are, distance, forced
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

    evidence: of the modules at fault, by path: for each of the inputs, or steps of decoding, one for each array that is
    wrong there. blames: why each is called at fault.
    """

    modules: tuple[Module, ...]
    faulty: tuple[Faulty, ...]
    view: View
    runs: int
    evidence: Mapping[str, Sequence[Mapping[str, Evidence]]] = field(default_factory=dict)
    blames: Mapping[str, Sequence[Blame]] = field(default_factory=dict)


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
    alike = len({side.describe().split()[0] for side in sides}) == 1
    pairs, unsure = pair_calls(reference, port, mapping=mapping, pairing=pairing, alike=alike)
    if len(pairs) < 2:
        raise UnsupportedError("no module of the port corresponds to one of the reference: give a mapping")
    view = forced(run, reference, port, pairs, masks)
    if doubted := _doubted(view, unsure):
        pairs = _without(pairs, doubted)
        view = forced(run, reference, port, pairs, masks)
    gradients: Mapping[str, Array] = {}
    forwards = reference
    if modes[0].cotangents is not None:
        run.modes = modes
        reference = run(0)
        gradients = run.gradients
        view = forced(run, reference, run(1), {name: _reversed(pair) for name, pair in pairs.items()}, masks)
    view, blames, wrong = _settled(run, view, moved)
    modules = tuple(_row(view, name, *wrong) for name in view.pairs if name)
    faulty = {path: blamed(view, each, check, probe) for path, each in blames.items()}
    held = [weights_of(side, state) for side, state in zip(sides, states, strict=True)]
    evidence = {
        path: _by_step([(b, gather(view, b, held, check=check, forwards=forwards)) for b in reasons], check)
        for path, reasons in blames.items()
    }
    for each, shown in _parameters(view, forwards, gradients, pairing, check, probe):
        faulty.setdefault(each.path, each)
        steps = evidence.setdefault(each.path, [])
        steps[:1] = [{**(steps[0] if steps else {}), shown.leaf: shown}]
    for each in _draws(sides, view, check, probe):
        faulty.setdefault(each.path, each)
    kept = {path: each for path, each in evidence.items() if each}
    return Located(modules, tuple(faulty.values()), view, run.count, kept, blames)


def _by_step(found: Sequence[tuple[Blame, Evidence | None]], check: str) -> list[dict[str, Evidence]]:
    """The evidence of each array by a key; in decoding each step has the same keys, else there is one step."""
    steps: dict[str, dict[str, Evidence]] = {}
    for blame, evidence in found:
        if evidence is not None:
            path, _, number = blame.call.partition("#")
            step, name = (number, path) if check == "decode" else ("", blame.call)
            steps.setdefault(step, {})[f"{name} {blame.handed}"] = evidence
    return list(steps.values())


def _reversed(pair: CallPair) -> CallPair:
    """The pair backwards: given are the gradients of its outputs, put out those of its inputs."""
    inputs, outputs = (
        tuple(leaf for leaf in leaves if leaf.keeps_all and not leaf.is_mask) for leaves in (pair.inputs, pair.outputs)
    )
    return CallPair(pair.name, pair.port_name, outputs, inputs)


def _parameters(
    view: View, forwards: Calls, gradients: Mapping[str, Array], pairing: Pairing, check: str, probe: str
) -> Iterator[tuple[Faulty, Evidence]]:
    """The modules whose parameters have wrong gradients though those of their outputs are right, and which."""
    scale = max((largest(each) for each in gradients.values()), default=0.0)
    for link in pairing.certain:
        if link.reference not in gradients or link.port not in view.gradients:
            continue
        ours = link.of_reference(gradients[link.reference])
        theirs = link.to_reference(link.of_port(view.gradients[link.port]), ours.shape)
        path, leaf = split_name(link.reference)
        port_path, how = split_name(link.port)[0], f"the gradient of its {leaf} is wrong"
        if distance(ours, theirs, {}).error <= ROUNDING * scale:
            continue
        for user, part in _uses(view, forwards, ours.shape):
            close = EXACT * max(largest(part), largest(ours))
            if user != path and largest(part - ours + theirs) <= close:
                path, port_path, ours, theirs = user, view.port_path(user), part, part - ours + theirs
                how = f"its use of {link.reference} has no gradient"
                break
            elif user != path and largest(part - theirs) <= close:
                ours, theirs = ours - part, theirs - part
                how = f"its own use of its {leaf} has no gradient"
                break
        if path in view.reference:
            call, apart = view.reference[path], distance(ours, theirs, {})
            where = (ours.shape, apart.worst, apart.reference, apart.port, probe)
            faulty = Faulty(path, port_path, call.kind, check, how, apart.error, apart.scale, *where)
            evidence = Evidence(path, call.kind, ours, theirs, call.inputs, {}, {}, {}, leaf=leaf, check=check)
            yield faulty, evidence


def _uses(view: View, forwards: Calls, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """The calls that may multiply by a matrix of this shape that is another module's too, and the gradient by each."""
    for name, call in forwards.items():
        given = view.reference[name].inputs.get("") if name in view.reference else None
        x = next((a for a in call.inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"), None)
        if given is None or x is None or (given.shape[-1], x.shape[-1]) != shape or given.shape[:-1] != x.shape[:-1]:
            continue
        yield _plain(name), given.reshape(-1, shape[0]).T @ x.reshape(-1, shape[1])


def _draws(sides: Sequence[Any], view: View, check: str, probe: str) -> Iterator[Faulty]:
    """The modules that draw other masks in training; frameworks share masks of attention in their own ways."""
    one_framework = len({side.describe().split()[0] for side in sides}) == 1
    for name, pair in view.pairs.items():
        ours, theirs = view.reference[pair.name], view.port[name]
        comparable = one_framework or all("dropout" in call.kind.lower() for call in (ours, theirs))
        if comparable and ours.drawn != theirs.drawn:
            (elements, masks), (others, shared) = ours.drawn, theirs.drawn
            how = f"draws {others} random numbers for {elements}"
            if elements == others:
                how = f"{shared} of its masks are one for all tokens or channels, {masks} in the reference"
            paths = _plain(pair.name), _plain(name)
            yield Faulty(*paths, ours.kind, check, how, abs(elements - others), elements, probe=probe)


def _settled(run: Runner, view: View, moved: Moved) -> tuple[View, Blames, tuple[Found, Found]]:
    """The blames of those pairs that mean the same on both sides.

    Two sides may divide their work between modules in another way: one then puts out something else, and another makes
    up for it. Where a pair is left out and nothing else is wrong instead, the two were such.
    """
    wrong = errors(run, view, moved)
    blames = _blames(view, *wrong)
    groups: dict[tuple[str, str], set[str]] = {}
    for each in blames.values():
        if each[0].call and not each[0].handed and not each[0].made:
            kinds = (view.reference[view.pairs[each[0].call].name].kind, view.port[each[0].call].kind)
            if kinds[0] == kinds[1]:
                continue  # one class divides its work in one way
            groups.setdefault(kinds, set()).update(blame.call for blame in each)
    if len(blames) < 2 or len(groups) > GROUPS:
        return view, blames, wrong
    for calls in groups.values():
        less = forced(run, view.reference, view.port, _without(view.pairs, calls), view.masks)
        fewer = errors(run, less, moved)
        if all(_none_new(before, after) for before, after in zip(wrong, fewer, strict=True)):
            view, blames, wrong = less, _blames(less, *fewer), fewer
    return view, blames, wrong


def _none_new(before: Found, after: Found) -> bool:
    """Whether no call is wrong afterwards that was not, or was less so."""
    return all(name in before and apart.error <= before[name][1].error * GROWN for name, (_, apart) in after.items())


GROWN = 1 + 1e-6
"""What one error may differ by between two runs."""

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
    """By the reference's path, in the order in which the calls ended.

    A call that puts out what an unknown module made, and hands something wrong on before, may do so because of it.
    """
    found: dict[str, list[Blame]] = {}
    blames = {name: _own(view, name, *each) for name, each in own.items()}
    for name in view.fed:
        reasons = []
        if name in handed:
            reasons.append(_handed(view, name, *handed[name]))
            caller = view.caller(name)
            if not reasons[0].made and caller in blames and blames[caller].made:
                reasons.insert(0, blames.pop(caller))
        if name in blames:
            reasons.append(blames[name])
        for blame in reasons:
            found.setdefault(blame.path, []).append(blame)
    return found


def _handed(view: View, name: str, leaf: Leaf, apart: Apart) -> Blame:
    """Of the call around `name`, or of the module that made what it hands on."""
    maker = _maker(view, view.reference[view.pairs[name].name].inputs, leaf)
    caller = view.caller(name)
    path = _plain(maker or view.pairs[caller].name)
    return Blame(path, _plain(caller), name, leaf, apart, handed=True, made=bool(maker))


def _own(view: View, name: str, leaf: Leaf, apart: Apart) -> Blame:
    """Of the call, or of the module inside it that made what it puts out."""
    pair = view.pairs[name]
    outputs = view.reference[pair.name].outputs
    for each in pair.outputs:
        wrong = view.worst(outputs, view.fed[name].outputs, [each])
        if wrong is not None and (maker := _maker(view, outputs, each, pair.name)):
            return Blame(_plain(maker), _plain(name), name, *wrong, handed=False, made=True)
    return Blame(_plain(pair.name), _plain(name), name, leaf, apart, handed=False)


def _maker(view: View, leaves: Leaves, leaf: Leaf, within: str | None = None) -> str:
    """The reference's module, unknown in the port, that made what is wrong. Backwards, nobody is asked."""
    return "" if view.gradients else view.maker(leaves.get(leaf.reference), within)


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
