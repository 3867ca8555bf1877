"""Which modules are at fault, judged on what both sides recorded, where neither can be run again.

A module that was given the same on both sides and put out something else is at fault. One that was given something
else may only have inherited it: that is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.adapters.protocols import UnsupportedError
from harness.parity.calls import Calls, pair_calls
from harness.parity.diagnose import Diagnosis
from harness.parity.floor import EXACT
from harness.parity.forced import View
from harness.parity.judge import Mask
from harness.parity.localise import Faulty, Module, blamed
from harness.parity.suspects import ROUNDING, Found
from harness.parity.weights import Pairing
from harness.parity.witness import Blame

AMPLIFIED = 1e3
"""How many times the relative error of its inputs a sound module may be off by, as far as its inputs agree to
`ROUNDING`: what storing a table in float32 does to one module reaches the next ones. In SmolLM2-135M's repaired port
the norms, whose largest inputs are far above the rest, made 294 of it, and all other modules less."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The diagnosis, and how many modules were given other inputs than the reference's, so that nothing is said."""

    diagnosis: Diagnosis
    not_judged: int = 0


def judge_recorded(reference: Calls, port: Calls, *, mapping: Mapping[str, str], masks: Mask) -> Judged:
    """The modules at fault, innermost first.

    Raises:
        UnsupportedError: no module of the one corresponds to one of the other.
    """
    pairs, unsure = pair_calls(reference, port, mapping=mapping, pairing=Pairing(()))
    pairs = {name: pair for name, pair in pairs.items() if name not in unsure or not name}
    if len(pairs) < 2:
        raise UnsupportedError("no module of the port corresponds to one of the reference: give a mapping")
    view = View(reference, port, port, pairs, masks, {}, {})
    given: Found = {name: found for name in pairs if (found := view.handed(name)) is not None}
    wrong: Found = {name: found for name in pairs if (found := view.own(name)) is not None}
    blames = _blames(view, given, wrong)
    faulty: dict[str, Faulty] = {}
    for blame in blames.values():
        faulty.setdefault(blame.path, blamed(view, [blame], "forward", "given"))
    least = max((blame.apart.relative for blame in blames.values()), default=0.0)
    named = [each for each in faulty.values() if least < ROUNDING or _share(each.error, each.scale) >= ROUNDING]
    sound = [name for name in pairs if name and _agrees(name, given) and name not in wrong]
    rows = [_row(view, name, wrong) for name in view.fed if name in {*sound, *blames} and name]
    left = len({name for name in pairs if name} - {*sound, *blames})
    why_not = "" if named else "no module that was given the same on both sides puts out something else"
    return Judged(Diagnosis(hedged(named), tuple(rows), "given", why_not=why_not), left)


def hedged(faulty: Sequence[Faulty], proved: Collection[str] = ()) -> tuple[Faulty, ...]:
    """The modules at fault; of one that is off by little, and by no cause that is proved, it is said what else may be.

    Whether rounding of stored weights explains it shows only when both sides are run with their weights moved.
    """

    def small(each: Faulty) -> bool:
        return each.path not in proved and _share(each.error, each.scale) < ROUNDING

    words = "by no more than rounding of its weights may do"
    return tuple(replace(each, how=f"{each.how}, {words}") if small(each) else each for each in faulty)


def _agrees(name: str, given: Found) -> bool:
    return name not in given or given[name][1].relative <= ROUNDING


def _blames(view: View, given: Found, wrong: Found) -> dict[str, Blame]:
    """By call of the port, in the order in which the calls ended; of calls inside each other, the innermost alone."""
    found: dict[str, Blame] = {}
    explained: set[str] = set()
    for name in view.fed:
        if name not in wrong or name not in view.pairs or not _agrees(name, given):
            continue
        leaf, apart = wrong[name]
        inherited = given[name][1].relative if name in given else 0.0
        if name in explained or apart.relative <= max(EXACT, AMPLIFIED * inherited):
            continue
        path = view.pairs[name].name.split("#")[0]
        blame = Blame(path, name.split("#")[0], name, leaf, apart, handed=False)
        handed = next((each for each in view.fed if each in given and view.caller(each) == name), None)
        if handed is not None and not _agrees(handed, given):
            leaves = view.reference[view.pairs[handed].name].inputs
            maker = view.maker(leaves.get(given[handed][0].reference))
            blame = Blame(maker or path, blame.port_path, handed, *given[handed], handed=True, made=bool(maker))
        found[name] = blame
        at = name
        while at:
            at = view.caller(at)
            explained.add(at)
    return found


def _share(error: float, scale: float) -> float:
    return error / scale if scale else error


def _row(view: View, name: str, wrong: Found) -> Module:
    pair = view.pairs[name]
    call = view.reference[pair.name]
    error = wrong[name][1].relative if name in wrong else 0.0
    shape = np.shape(next(iter(call.outputs.values()), ()))
    return Module(pair.name, name, call.kind, shape, local=error, total=error)
