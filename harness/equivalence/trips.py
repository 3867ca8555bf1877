"""Models saved by one twin and loaded by either: every weight the same afterwards, and what is not is named."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.hub import TOKEN, Hub
from harness.adapters.protocols import Array
from harness.equivalence.arrivals import Weights, bits, false_alarm, lost, named, others, unlike
from harness.equivalence.family import Family, Head
from harness.equivalence.forward import accepted, said, shape_of
from harness.equivalence.inputs import make
from harness.equivalence.outcome import Outcome
from harness.equivalence.ways import (
    APART,
    AS_HALF,
    BEFORE,
    BELOW,
    BESIDE,
    HALF,
    IGNORED,
    MISSING,
    MORE,
    NO_INDEX,
    NO_SHARD,
    OVER,
    PUSHED,
    REFUSED,
    RESHAPED,
    STRAY,
    STRAYS,
    TAMPERED,
    TO_BASE,
    TO_HEAD,
    TOLD,
    WAYS,
    WHOLE,
    Trip,
)
from harness.parity.compare import Verdict

NAME = "owner/twin"
"""Of the model on the Hub."""


def trips_of(family: Family, head: Head) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Every trip of these twins by its name, and what makes it.

    The family's widest class makes all, but for those between a head and the base model, which the widest with a head
    makes.
    """
    for trip in (*WAYS, *MORE):
        if trip.how == APART and head.reference.endswith(WHOLE):
            continue
        maker = headed(family) if trip.how in (TO_HEAD, TO_BASE) else family.head_of()
        if head == maker or trip in WAYS:
            yield trip.name, lambda trip=trip: travelled(family, head, trip)  # type: ignore[misc]


def base_of(family: Family) -> Head | None:
    """The twins that are the model without a head, if there are any."""
    name = f"{family.configuration.removesuffix('Config')}Model"
    return next((head for head in family.head if head.reference == name), None)


def headed(family: Family) -> Head | None:
    """The widest twins, or the first others, where there is a model without their head."""
    base = base_of(family)
    found = (head for head in (family.head_of(), *family.head) if base is not None and head != base)
    return next(found, None)


def travelled(family: Family, head: Head, trip: Trip, *, spoil: Callable[[Any], object] = id) -> Outcome:
    """The trip, made in a folder of its own; what goes wrong is of infinite error.

    spoil: what happens to the folder, or to the Hub, between saving and loading, unknown to the check.
    """
    blank = Outcome(
        family.id, head.reference, head.port_name, trip.name, Verdict.DIVERGE, error=float("inf"), scale=1.0
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            hub = stack.enter_context(_hub(folder)) if trip.how == PUSHED else None
            reason, compared = _Journey(family, head, trip, folder, hub).made(spoil)
        except Exception as error:
            return replace(blank, reason=said(error))
    if reason:
        return replace(blank, reason=reason, compared=compared)
    if not compared:
        return replace(blank, verdict=Verdict.INCONCLUSIVE, reason="no weight was compared", error=0.0)
    return replace(blank, verdict=Verdict.AGREE, error=0.0, compared=compared)


@contextmanager
def _hub(cache: Path) -> Iterator[Hub]:
    from harness.adapters.transformers.hub import turned_to

    with Hub() as hub, turned_to(hub.endpoint, TOKEN, cache):
        yield hub


class _Journey:
    """One trip under way, in its folder."""

    def __init__(self, family: Family, head: Head, trip: Trip, folder: Path, hub: Hub | None):
        from harness.adapters.transformers import trips, twins

        self.twins, self.files, self.trip = twins, trips, trip
        self.folder = self.place = folder
        self.hub = hub
        base = base_of(family) or head
        self.giver, self.taker = base if trip.how == TO_HEAD else head, base if trip.how == TO_BASE else head
        self.config = twins.configuration(family.configuration, {**family.base, **head.settings})
        self.call = make(head.inputs or family.inputs, twins.settings_of(self.config), seed=0)
        self.shape = shape_of(self.call)
        self.prefix = trips.prefix_of(head.reference)

    def made(self, spoil: Callable[[Any], object]) -> tuple[str, int]:
        """What is wrong, if anything, and how many weights were compared."""
        model = self.original(self.giver, self.trip.saved)
        if self.trip.how == HALF:
            model = self.files.halved(model)
        source = self.files.weights_of(model)
        filled = {} if self.trip.how in (NO_SHARD, NO_INDEX) else self.files.weights_of(self.filled())
        chosen = middle(source, filled) if self.trip.how in (MISSING, RESHAPED, IGNORED) else ""
        self.fill(model, chosen)
        spoil(self.hub or self.place)
        if self.trip.how in REFUSED:
            return self.refused(chosen), 1
        found = self.load()
        if found.empty:
            told = f"{len(found.empty)} weights hold no numbers (on the meta device): {found.empty[0]}, ..."
            return told, len(found.empty)
        if self.trip.how == TOLD:
            return false_alarm(source, filled, found, prefix=self.prefix), len(found.weights)
        if self.trip.how in (*TAMPERED, TO_HEAD, TO_BASE):
            source = self.files.stored(self.place, self.trip.form)
        tables = self.tables(model)
        reason = self.judged(source, filled, found, tables)
        if not reason and self.trip.how in ("", PUSHED) and not self.missing(filled, source, tables):
            reason = unlike(self.outputs(self.filled()), self.outputs(found.model))
        return reason, len(found.weights)

    def tables(self, model: Any) -> frozenset[str]:
        """The names of what a PyTorch model makes by itself: of the one that saves, and of the one that loads, in
        which it is no longer marked once it is loaded.
        """
        loads = self.original(self.taker, "pytorch") if self.trip.loaded == "pytorch" else None
        return frozenset().union(*map(self.files.fixed_of, (model, loads)))

    def judged(self, source: Weights, filled: Weights, found: Any, tables: frozenset[str]) -> str:
        """What went wrong with a weight, if anything did."""
        if self.trip.how == AS_HALF and self.trip.loaded == "pytorch":
            kept = [key for key, each in found.weights.items() if str(each.dtype) != "bfloat16" and key not in tables]
            if kept:
                return f"{len(kept)} weights are not of the type asked for: {kept[0]}, ..."
        coarse = self.trip.how == HALF or (self.trip.how == AS_HALF and self.trip.loaded == "pytorch")
        seen = (lambda array: bits(self.files.rounded(array))) if coarse else bits
        known = {seen(array) for array in filled.values()}
        places = set(self.files.weights_of(self.original(self.taker, self.trip.saved)))

        def due(key: str) -> bool:
            return seen(source[key]) in known and any(each in places for each in others(key, self.prefix))

        return lost(source, found, due=due, prefix=self.prefix, seen=seen, tables=tables)

    def original(self, head: Head, framework: str, seed: int = 0) -> Any:
        if framework == "pytorch":
            return self.twins.reference_of(head.reference, self.config, seed=seed)
        return self.twins.drawn_port(head.port_name, self.config, seed=seed, **self.shape)

    def filled(self) -> Any:
        """What saves, as a model of the framework that loads, filled without the public functions."""
        head = self.giver
        if self.trip.saved == self.trip.loaded:
            return self.original(head, self.trip.saved)
        convert: Any = self.twins.to_flax if self.trip.loaded == "flax" else self.twins.from_flax
        pair = convert(head.reference, head.port_name, self.config, seed=0, **self.shape)
        return pair.port if self.trip.loaded == "flax" else pair.reference

    def fill(self, model: Any, chosen: str) -> None:
        """The folder as it is before the loading."""
        trip, save = self.trip, self.files.save
        if self.hub is not None:
            self.push(model, self.hub)
            return
        if trip.how == OVER:
            save(self.original(self.giver, trip.saved, 1), self.folder, BEFORE[trip.form])
        if trip.how == BELOW:
            save(self.original(self.giver, trip.saved, 1), self.folder, "safetensors")
            self.place = self.folder / "below"
        if trip.how == BESIDE:
            other, form = ("flax", "msgpack") if trip.saved == "pytorch" else ("pytorch", "safetensors")
            save(self.original(self.giver, other, 1), self.folder, form)
        save(model, self.place, trip.form)
        files = self.files.files_of(self.place, trip.form)
        if len(files) < (2 if trip.form.startswith("sharded") else 1):
            raise RuntimeError(f"{trip.form} was asked for, and not written")
        if trip.how in TAMPERED:
            self.files.change(self.place, trip.form, lambda held: self.tampered(held, chosen))
        if trip.how == NO_SHARD:
            files[-1].unlink()
        if trip.how == NO_INDEX:
            next(self.place.glob("*.index.json")).unlink()

    def push(self, model: Any, hub: Hub) -> None:
        """The Hub as it is before the loading: with another model, and this one after it."""
        from harness.adapters.transformers.hub import push

        for each in (self.original(self.giver, self.trip.saved, 1), model):
            push(each, NAME, **self.files.as_asked(model, self.trip.form))
        _, files = hub.repositories[NAME].commits[-1]
        if not any(name.endswith(self.trip.form.split()[-1]) for name in files):
            raise RuntimeError(f"{self.trip.form} was asked for, and not pushed")

    def tampered(self, held: Weights, chosen: str) -> dict[str, Array]:
        if self.trip.how == STRAY:
            return {**held, STRAYS[self.trip.saved]: np.arange(6, dtype=np.float32).reshape(2, 3)}
        kept = {key: array for key, array in held.items() if key != chosen}
        return kept if self.trip.how == MISSING else {**kept, chosen: np.concatenate([held[chosen], held[chosen]])}

    def load(self) -> Any:
        """What the public function gives."""
        trip, options = self.trip, dict[str, Any]()
        if trip.saved != trip.loaded:
            options["from_pt" if trip.loaded == "flax" else "from_flax"] = True
        if trip.how == AS_HALF:
            options["dtype"] = self.files.half(trip.loaded)
        if trip.how == APART:
            options["_do_init"] = False
        if trip.how == IGNORED:
            options["ignore_mismatched_sizes"] = True
        if trip.how == BELOW:
            options["subfolder"] = self.place.name
        where = NAME if trip.how == PUSHED else self.folder
        if trip.loaded == "flax":
            return self.files.load(self.taker.port_name, where, **options, **self.shape)
        return self.files.load(self.taker.reference, where, **options)

    def refused(self, chosen: str) -> str:
        """What is wrong unless loading is refused in words that name what is amiss."""
        try:
            self.load()
        except Exception as error:
            right = {
                RESHAPED: named(str(error), chosen, self.prefix),
                NO_SHARD: "-of-" in str(error),
                NO_INDEX: isinstance(error, OSError),
            }
            return "" if right[self.trip.how] else f"nothing names what is amiss: {said(error)}"
        return "it is loaded all the same"

    def missing(self, filled: Weights, source: Weights, tables: frozenset[str]) -> bool:
        """Whether the class that loads has weights that the other does not: they are random."""
        given = {bits(array) for array in source.values()}
        return any(bits(array) not in given for key, array in filled.items() if key not in tables)

    def outputs(self, model: Any) -> dict[str, Array]:
        side: Any = adapt(model)
        return dict(side.run(accepted(self.call, side)))


def middle(source: Weights, filled: Weights) -> str:
    """The name of a matrix, or kernel, that both have, once each: in the middle of those in order of their names."""
    ours, theirs = ([bits(array) for array in weights.values()] for weights in (source, filled))
    known = [
        key
        for key, array in source.items()
        if array.ndim > 1 and ours.count(bits(array)) == 1 and theirs.count(bits(array)) == 1
    ]
    return sorted(known)[len(known) // 2]
