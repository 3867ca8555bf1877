"""Begin the case of a port: its file, rules for its weights, names, inputs and a test, each line certain or guessed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.adapters.choose import adapt
from harness.adapters.protocols import Array, Holds, Runs
from harness.cases.build import build, takes
from harness.cases.conversion import Rule, Use, applied
from harness.cases.spec import Factory, read_case
from harness.errors import HarnessError, SpecError
from harness.parity.case import check_case
from harness.parity.layout import is_neutral
from harness.parity.linking import pair_weights
from harness.parity.trace import record
from harness.porting.begun import Begun
from harness.porting.given import Given, drawn, guess_inputs
from harness.porting.guess import Guesses, Side, guess, in_order
from harness.porting.hub import model_text, small_model
from harness.porting.names import confirmed, equal_outputs, mapping_lines, pair_taps, taps_of
from harness.porting.patterns import Line, generalised
from harness.porting.placing import Places, places_of, tentative, write_all
from harness.porting.written import LOADERS, Said, case_text, conversion_text, module_text, test_text
from harness.settings import Repository

Progress = Callable[[str], None] | None


@dataclass(frozen=True, slots=True)
class Both:
    """The two sides, what they are called with, and how the port is made."""

    reference: Runs
    port: Runs
    inputs: Mapping[str, Any]
    given: Mapping[str, Given]
    made_of_reference: bool


def new_port(
    name: str,
    repository: Repository,
    *,
    reference: str,
    port: str,
    inputs: str = "",
    force: bool = False,
    progress: Progress = None,
) -> Begun:
    """Build both sides, write the case with what can be told of them, and run it once.

    reference, port, inputs: `module:factory`; the port's may take `reference`. Without inputs, some are guessed.
    force: files that are there are written over.

    Raises:
        SpecError: the name, the repository or a factory will not do, or no weight of the port fits the reference.
        BuildError: a factory raised, needs a missing package, or made no model. RunError: a side cannot be run.
        Nothing is written then.
    """
    place = f"new-port {name!r}"
    places = places_of(name, repository, place=place)
    if not force:
        places.refuse(place)
    both = _both(repository, reference, port, inputs, place, progress or (lambda _step: None))
    sides = _side(both.reference, both.inputs), _side(both.port, both.inputs)
    guesses = _guessed(sides, place)
    rules = bool(guesses.found) and not _shares(sides)
    values = _converted(guesses, sides[0], place) if rules else {}
    kinds: tuple[dict[str, str], dict[str, str]] = ({}, {})
    ours = taps_of(both.reference, both.inputs, kinds=kinds[0])
    taps = pair_taps(ours, taps_of(both.port, both.inputs, values, kinds=kinds[1]), guesses)
    same = equal_outputs((both.reference, both.port), both.inputs, values)
    guesses = confirmed(guesses, taps, sides[0], outputs=same)
    known = [*(line.sources[0] for line in taps.lines), *taps.only_reference]
    mapped = generalised(mapping_lines(taps), known)
    ruled = _rules(guesses, sides[0]) if rules else []
    title = f"{name}: {both.port.describe()} against {both.reference.describe()}"
    said = Said(
        name=name,
        title=title,
        reference=reference,
        port=f"{places.module_name}:port" if rules else port,
        inputs=inputs or f"{places.module_name}:inputs",
        rules=rules,
        mapping=mapped,
        axes=taps.axes,
        left=(_left(taps.only_reference, list(ours), kinds[0]), _left(taps.only_port, list(kinds[1]), kinds[1])),
    )
    files = {places.case: case_text(said)}
    if rules:
        files[places.rules] = conversion_text(title, ruled, _shapes_left(guesses, sides))
    if rules or both.given:
        files[places.module] = module_text(
            title,
            given=both.given,
            factory=port if rules else "",
            framework=_framework(both.port),
            rules=str(places.rules.relative_to(repository.root)),
            made_of_reference=both.made_of_reference,
        )
    if places.module in files and not places.package.exists():
        files[places.package] = ""
    if not places.is_tested:
        files[places.test] = test_text(name)
    write_all(files)
    importlib.invalidate_caches()
    left = [each.sources[0] for side in said.left for each in side]
    left += guesses.only_reference if rules else ()
    shown = tuple(str(file.relative_to(repository.root)) for file in files)
    return _run(Begun(name, shown, (*ruled, *mapped), tuple(left)), places, repository, progress)


def new_port_from_hub(
    name: str,
    repository: Repository,
    hub: str,
    *,
    port: str = "",
    inputs: str = "",
    force: bool = False,
    progress: Progress = None,
) -> Begun:
    """The same with an original that is made small by the configuration of a model on the hub; its module is written.

    hub: `owner/name`, or a folder. port: without one, that module is all that is written, for a port to be made by.

    Raises:
        As `new_port`; MissingError: transformers is not installed. BuildError: the configuration cannot be read.
    """
    place = f"new-port {name!r}"
    places = places_of(name, repository, place=place)
    if not force:
        places.refuse(place)
    files = {places.model: model_text(hub, small_model(hub))}
    if not places.package.exists():
        files[places.package] = ""
    shown = tuple(str(file.relative_to(repository.root)) for file in files)
    reference = f"{places.module_name}_model:reference"
    with tentative(files):
        importlib.invalidate_caches()
        if not port:
            todo = f"harness new-port {name} --reference {reference} --port MODULE:FACTORY --force"
            return Begun(name, shown, (), (), refused="there is no port yet", todo=("write the port", todo))
        begun = new_port(name, repository, reference=reference, port=port, inputs=inputs, force=True, progress=progress)
    return replace(begun, files=(*shown, *begun.files))


def _both(
    repository: Repository, reference: str, port: str, inputs: str, place: str, tell: Callable[[str], None]
) -> Both:
    """Both sides, built and run once."""

    def made(part: str, factory: str, **further: Any) -> Any:
        tell(f"build {part}")
        return build(Factory(factory=factory), further, root=repository.root, place=f"{place}, {part}")

    model = made("reference", reference)
    ours = adapt(model, place=f"{place}, reference")
    if takes(Factory(factory=port), "converted", root=repository.root, place=f"{place}, port"):
        problem = f"{port!r} takes 'converted', weights made by rules, of which there are none yet"
        raise SpecError(f"{place}, port", problem, todo="Give a factory that makes the port with weights of its own.")
    theirs = adapt(made("port", port, reference=model), place=f"{place}, port")
    given: dict[str, Given] = {}
    if inputs:
        calls = made("inputs", inputs)
        call = calls if isinstance(calls, Mapping) else next(iter(calls), {})
    else:
        tell("guess inputs")
        given = guess_inputs(model, ours, place=f"{place}, inputs")
        call = drawn(given)
    of_reference = takes(Factory(factory=port), "reference", root=repository.root, place=f"{place}, port")
    return Both(ours, theirs, call, given, of_reference)


def _side(side: Runs, inputs: Mapping[str, Any]) -> Side:
    """The weights of a side, in the order in which they are used."""
    taps = list(record(side, inputs).shapes)
    weights = side.weights() if isinstance(side, Holds) else {}
    return Side(in_order(weights, taps), flax=side.describe().startswith("Flax"))


def _guessed(sides: tuple[Side, Side], place: str) -> Guesses:
    """The guesses; where both sides have weights, there is at least one.

    Raises:
        SpecError: no weight of the one fits any of the other.
    """
    guesses = guess(*sides)
    if all(side.weights for side in sides) and not guesses.found:
        shown = ["; ".join(f"{name} {side.shape(name)}" for name in list(side.weights)[:3]) for side in sides]
        problem = (
            f"no weight of the port fits one of the reference, which has {shown[0]}, where the port has {shown[1]}"
        )
        raise SpecError(place, problem, todo="Build both of one size; `--port` names what makes the port.")
    return guesses


def _shares(sides: tuple[Side, Side]) -> bool:
    """Whether the port holds most of the reference's weights already, as its factory made it."""
    linked = {link.reference for link in pair_weights(sides[0].weights, sides[1].weights).certain}
    telling = {name: each.array.size for name, each in sides[0].weights.items() if not is_neutral(each.array)}
    return 2 * sum(size for name, size in telling.items() if name in linked) > sum(telling.values())


def _converted(guesses: Guesses, reference: Side, place: str) -> dict[str, Array]:
    """The port's weights, as far as they are guessed."""
    held = {name: weight.array for name, weight in reference.weights.items()}
    made: dict[str, Array] = {}
    for number, each in enumerate(guesses.found, start=1):
        rule = Rule(source=each.sources, target=each.targets, order=each.order, axis=each.axis)
        use = Use(number, rule, each.sources, each.targets)
        made.update(zip(each.targets, applied(use, held, settings={}, place=place), strict=True))
    return made


def _rules(guesses: Guesses, reference: Side) -> list[Line]:
    lines = [
        Line(each.sources, each.targets, (each.order, each.axis), each.certain, each.why) for each in guesses.found
    ]
    return generalised(lines, list(reference.weights))


def _shapes_left(guesses: Guesses, sides: tuple[Side, Side]) -> tuple[list[str], list[str]]:
    both = zip((guesses.only_reference, guesses.only_port), sides, strict=True)
    return tuple([f'"{name}", {side.shape(name)}' for name in names] for names, side in both)  # type: ignore[return-value]


def _left(names: Sequence[str], every: Sequence[str], kinds: Mapping[str, str]) -> list[Line]:
    """The taps of a side that no line speaks of, as patterns, with the classes of their modules."""
    return generalised([Line((name,), (), kinds[name], why=kinds[name]) for name in names], every)


def _framework(side: Runs) -> str:
    """The key of `LOADERS` for a side."""
    return next((name for name in LOADERS if side.describe().startswith(name)), "")


def _run(begun: Begun, places: Places, repository: Repository, progress: Progress) -> Begun:
    try:
        return replace(begun, comparison=check_case(read_case(places.case), repository, progress=progress))
    except HarnessError as error:
        return replace(begun, refused=str(error))
