"""When the verdict is not "agree": where the fault is. Runs only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.adapters.protocols import Holds, UnsupportedError
from harness.cases.probes import Probe
from harness.parity.compare import Verdict, plain
from harness.parity.judge import Line, Mask
from harness.parity.localise import Faulty, Located, Module, locate
from harness.parity.study import Study
from harness.parity.weights import Pairing

SMALL = 10_000_000
"""Weights: a smaller port is run on up to `PROBES` inputs that show a fault, a larger one on the clearest."""
PROBES = 3


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The modules at fault, in the order of execution, and every module's share in the error.

    probe: the inputs of the table. runs: how many runs of a whole side it took. why_not: why there is none.
    """

    faulty: tuple[Faulty, ...] = ()
    modules: tuple[Module, ...] = ()
    probe: str = ""
    runs: int = 0
    why_not: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def diagnose(
    found: Study,
    lines: Sequence[Line],
    probes: Sequence[Probe],
    *,
    given_fails: bool,
    masks_of: Callable[[Mapping[str, Any]], Mask],
    mapping: Mapping[str, str],
    pairing: Pairing,
) -> Diagnosis:
    """Where the forward pass goes wrong, on the probes that show it.

    given_fails: whether the first probe, the given call, fails with the weights as they are stored.
    """
    situations = _situations(found, lines, probes, given_fails=given_fails)
    if not situations:
        return Diagnosis()
    every: list[Located] = []
    why_not = ""
    for study, probe in situations:
        try:
            every.append(
                locate(
                    study.sides,
                    probe.inputs,
                    study.states(),
                    masks=masks_of(probe.inputs),
                    mapping=mapping,
                    pairing=pairing,
                    moved=study.states,
                    probe=probe.name,
                )
            )
        except UnsupportedError as error:
            why_not = why_not or str(error)
        except Exception as error:  # a model may fail in ways of its own when its modules are run on other inputs
            text = str(error).strip().splitlines()
            why_not = why_not or f"raised {type(error).__name__}: {text[0][:120] if text else ''}"
    if not every:
        return Diagnosis(why_not=why_not)
    faulty: dict[str, Faulty] = {}
    for located in every:
        for each in located.faulty:
            faulty.setdefault(each.path, each)
    richest = max(every, key=lambda located: len(located.faulty))
    order = list(richest.view.reference)
    ranked = sorted(faulty.values(), key=lambda each: order.index(each.path) if each.path in order else len(order))
    return Diagnosis(
        tuple(ranked),
        richest.modules,
        next(probe.name for (_, probe), located in zip(situations, every, strict=False) if located is richest),
        sum(located.runs for located in every),
        "" if faulty else "every module computes what the reference's does, on its inputs",
    )


def _situations(
    found: Study, lines: Sequence[Line], probes: Sequence[Probe], *, given_fails: bool
) -> list[tuple[Study, Probe]]:
    """The inputs that show a fault, those that show most first, and the weights with which they do."""
    by_name = {probe.name: probe for probe in probes}
    failing = [
        line
        for line in lines
        if line.check == "forward" and line.verdict is not Verdict.AGREE and line.probe in by_name
    ]
    failing.sort(key=lambda line: -(line.error / (line.scale or 1.0)))
    situations = [(found, by_name[line.probe]) for line in failing]
    if not situations and given_fails:
        situations = [(replace(found, values=({}, {})), probes[0])]
    return situations[: PROBES if _size(found) <= SMALL else 1]


def _size(found: Study) -> int:
    port = found.sides[1]
    return sum(weight.array.size for weight in port.weights().values()) if isinstance(port, Holds) else 0
