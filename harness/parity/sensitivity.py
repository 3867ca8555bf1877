"""How good a test is: which faults of the catalogue it would catch with these inputs, and why not the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.adapters.choose import adapt
from harness.adapters.protocols import STORED as AS_STORED
from harness.adapters.protocols import Holds, Runs, State, UnsupportedError
from harness.errors import RunError, SpecError
from harness.parity.check import CHECKS, valid_masks
from harness.parity.compare import Array, plain
from harness.parity.meeting import pair_outputs
from harness.parity.planting import Fault, Watched, chosen, faults_for, run_with, watch
from harness.parity.planting.catalogue import PLACES
from harness.parity.planting.probes import caught_by_probes
from harness.parity.planting.rate import bounds
from harness.parity.planting.thresholds import Thresholds, of_inputs
from harness.parity.study import Names
from harness.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault that was planted. path: the port's module, empty for the model itself.

    caught: by the case's own inputs and stored weights. contract: by the tolerance alone, on the same. checked: by
    what `check` adds to them as well: healthy weights and probes. probe: that which caught it first.
    error: of the output that is farthest off its allowance, in float64, on the case's own inputs. why: it was not
    caught by them.
    """

    cause: str
    detail: str
    path: str
    caught: bool
    contract: bool
    checked: bool
    error: float = 0.0
    probe: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Which faults were planted and which of them a case catches.

    not_planted: what could not be planted -> why. floor: the rate that must be reached; None where there is none.
    """

    name: str
    reference: str
    port: str
    faults: tuple[Planted, ...]
    not_planted: Mapping[str, str] = field(default_factory=dict)
    floor: float | None = None
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """The share of faults that the case's own inputs catch."""
        return self._share([fault.caught for fault in self.faults])

    @property
    def checked_rate(self) -> float:
        """The share of faults that are caught with what `check` adds."""
        return self._share([fault.checked for fault in self.faults])

    @property
    def contract_rate(self) -> float:
        """The share of faults that the tolerance alone catches, on the case's own inputs."""
        return self._share([fault.contract for fault in self.faults])

    @property
    def missed(self) -> tuple[Planted, ...]:
        """The faults that the case's own inputs do not catch; first those that nothing catches."""
        return tuple(sorted((f for f in self.faults if not f.caught), key=lambda fault: fault.checked))

    @property
    def enough(self) -> bool:
        """Whether the rate reaches the floor."""
        return self.floor is None or self.rate >= self.floor

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rates = {"rate": "caught", "checked_rate": "checked", "contract_rate": "contract"}
        values: dict[str, Any] = plain(
            {
                "schema": 1,
                "case": self.name,
                "reference": self.reference,
                "port": self.port,
                **{name: getattr(self, name) for name in rates},
                "bounds": {
                    name: bounds(sum(getattr(f, what) for f in self.faults), len(self.faults))
                    for name, what in rates.items()
                },
                "floor": self.floor,
                "faults": [asdict(fault) for fault in self.faults],
                "not_planted": dict(self.not_planted),
                "seconds": self.seconds,
                "text": str(self),
            }
        )
        return values

    def __str__(self) -> str:
        from harness.parity.planting.text import sensitivity_text

        return sensitivity_text(self)

    def _share(self, caught: Sequence[bool]) -> float:
        return sum(caught) / len(caught)


def sensitivity(
    reference: Any,
    port: Any,
    inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    mapping: Mapping[str, str] | None = None,
    tolerance: Tolerance | None = None,
    outputs: Sequence[str] = (),
    valid: str = "",
    device: str = "cpu",
    checks: Sequence[str] = CHECKS,
    convert: Callable[[Any], Any] | None = None,
    seed: int = 0,
    floor: float | None = None,
    places: int | None = None,
    name: str = "sensitivity",
    progress: Callable[[str], None] | None = None,
) -> Sensitivity:
    """Plant the faults of the catalogue in runs of the port, and say which of them `check` would have caught.

    The arguments are those of `check`; neither object is changed. Only forwards is looked at.
    floor: the rate that is wanted of the case's own inputs. places: at how many places each cause is planted, by
    default two, and one in a port of more than fifty million weights.

    Raises:
        RunError: the two do not agree as they are, so that nothing says what a fault would change; or nothing could
            be planted. And what `check` raises.
    """
    began = time.perf_counter()
    calls = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    if not calls:
        raise SpecError(name, "no inputs were given", todo="Give one call, or a sequence of calls.")
    say = progress or (lambda _step: None)
    sides = (adapt(reference, device=device, place=name), adapt(port, device=device, place=name))
    bench = _Bench(sides, mapping or {}, tuple(outputs), valid, tuple(checks), tolerance or Tolerance(), name)
    say("watch the port")
    watched = [bench.given(call) for call in calls]
    large = _size(sides[1]) > LARGE
    faults, not_planted = faults_for(watched[0].run, places=places or (1 if large else PLACES))
    found: dict[int, Planted] = {}
    for number, fault in enumerate(faults, start=1):
        say(f"fault {number} of {len(faults)}: {fault.cause}")
        try:
            found[number] = _plant(fault, sides[1], AS_STORED, watched)
        except Exception as error:  # what cannot be run says nothing about the test
            not_planted[_label(fault)] = _raised(error)
    if "float64" in checks:
        missed = {number: faults[number - 1] for number, each in found.items() if not each.checked}
        caught = caught_by_probes(
            sides,
            watched[0].run,
            missed,
            names=watched[0].names,
            mapping=bench.mapping,
            valid=valid,
            checks=bench.checks,
            convert=convert,
            seed=seed,
            large=large,
            progress=say,
        )
        for number, probe in caught if missed else ():
            found[number] = replace(found[number], checked=True, probe=probe)
    for number, each in list(found.items()):
        if not each.checked and each.why == NOTHING:
            not_planted[_label(faults[number - 1])] = NOTHING
            del found[number]
    if not found:
        reasons = "; ".join(f"{what}: {why}" for what, why in list(not_planted.items())[:3])
        raise RunError(name, f"no fault could be planted ({reasons})", todo="Give a port with modules or a mask.")
    seconds = time.perf_counter() - began
    both = (sides[0].describe(), sides[1].describe())
    return Sensitivity(name, *both, tuple(found.values()), not_planted, floor, seconds)


NOTHING = "it changes nothing there"


@dataclass(frozen=True, slots=True)
class _Given:
    """One call of both sides as they are, and how far the port may be off."""

    run: Watched
    names: Names
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class _Bench:
    """Both sides, and by what they are judged."""

    sides: tuple[Runs, Runs]
    mapping: Mapping[str, str]
    declared: tuple[str, ...]
    valid: str
    checks: tuple[str, ...]
    tolerance: Tolerance
    name: str

    def given(self, call: Mapping[str, Any]) -> _Given:
        """One of the case's own calls."""
        masks = valid_masks(call, self.valid, self.name)
        try:
            run = watch(self.sides[1], call, AS_STORED, masks)
            right = self.sides[0].run_wide(call)
        except UnsupportedError as error:
            raise RunError(self.name, str(error), todo="Let the model return what its modules compute.") from error
        except Exception as error:
            raise RunError(
                self.name,
                f"a side raised {type(error).__name__} in float64: {error}",
                todo="Run `harness check` on it.",
            ) from error
        pairs, complaints = pair_outputs(tuple(right.outputs), tuple(run.outputs), self.declared, self.mapping)
        if complaints or not pairs:
            raise RunError(
                self.name, "; ".join(complaints) or "there are no outputs", todo="Run `harness check` on it."
            )
        thresholds = of_inputs(
            self.sides, call, right, run, pairs, masks, self.tolerance, float64="float64" in self.checks
        )
        self._must_agree(thresholds, run.outputs)
        return _Given(run, pairs, thresholds)

    def _must_agree(self, thresholds: Thresholds, outputs: Mapping[str, Array]) -> None:
        as_it_is = thresholds.judge(outputs)
        if as_it_is.caught:
            raise RunError(
                self.name,
                f"the port does not agree with its reference as it is: {as_it_is.where} is off by {as_it_is.error:.3g}",
                todo="Mend that first, or look with `harness check`: faults are planted in a port that is right.",
            )


LARGE = 50_000_000
"""Weights: in a larger port each cause is planted once, which takes 50 runs of SmolLM2-135M, and probes are cut."""


def _plant(fault: Fault, side: Runs, state: State, calls: Sequence[_Given]) -> Planted:
    changed = counts = False
    error, allowed, contract = 0.0, 0.0, False
    for each in calls:
        planted = fault.plant(each.run)
        anywhere, valid = chosen(each.run, planted)
        changed, counts = changed or anywhere, counts or valid
        if not anywhere:
            continue
        found = each.thresholds.judge(run_with(side, each.run, planted, state))
        contract = contract or found.contract
        if found.caught:
            return Planted(fault.cause, fault.detail, fault.path, True, contract, True, found.error)
        error, allowed = max(error, found.error), max(allowed, found.allowed)
    why = fault.unseen or NOTHING
    if changed and not counts:
        why = "it changes padding alone"
    elif changed and error <= UNMOVED * max(allowed, TINY):
        why = "the output does not depend on it"
    elif changed:
        why = f"it moves the outputs by {error:.2g}, and rounding explains {allowed:.2g}"
    return Planted(fault.cause, fault.detail, fault.path, False, contract, False, error, why=why)


UNMOVED, TINY = 1e-5, 1e-300
"""Of what rounding explains: what moves an output by less moves it not at all."""


def _label(fault: Fault) -> str:
    return f"{fault.cause} ({fault.detail}) in {fault.path or 'the model'}"


def _raised(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"raised {type(error).__name__}: {text[0][:120] if text else ''}"


def _size(side: Runs) -> int:
    return sum(weight.array.size for weight in side.weights().values()) if isinstance(side, Holds) else 0
