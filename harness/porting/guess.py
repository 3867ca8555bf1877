"""Which weight of the port is which of the reference, where the port holds weights of its own: certain, or guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.adapters.protocols import Weight
from harness.parity.layout import is_neutral
from harness.parity.linking import pair_weights
from harness.parity.weights import STATISTICS, kind_of, numbers_in, split_name, words_of

Shape = tuple[int, ...]

CHANNELS_LAST = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}
"""The axes of a kernel of PyTorch (outputs, inputs, window) as Flax has them (window, inputs, outputs)."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Weights of the reference that become weights of the port: one to one, several joined, or one split.

    order, axis: as in a rule of a conversion. why: in words.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    order: tuple[int, ...] = ()
    axis: int = 0
    certain: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Guesses:
    """Every guess, in the reference's order, and the weights of either side for which there is none."""

    found: tuple[Guess, ...]
    only_reference: tuple[str, ...]
    only_port: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """The weights of a side, in the order in which their modules run, as far as that is known.

    flax: whether its kernels are laid out as Flax lays them out.
    """

    weights: Mapping[str, Weight]
    flax: bool

    def shape(self, name: str) -> Shape:
        return self.weights[name].array.shape


def in_order(weights: Mapping[str, Weight], taps: Sequence[str]) -> dict[str, Weight]:
    """The weights by when their modules, or the nearest around them, put something out; else as they stand."""
    places = {tap: place for place, tap in reversed(list(enumerate(taps)))}

    def place(name: str) -> tuple[int, int]:
        home = split_name(name)[0]
        while home and home not in places:
            home = split_name(home)[0]
        kinds = ("weight", "bias", *STATISTICS)
        return places.get(home, len(taps)), kinds.index(kind_of(name)) if kind_of(name) in kinds else len(kinds)

    return {name: weights[name] for name in sorted(weights, key=place)}


def guess(reference: Side, port: Side) -> Guesses:
    """A guess for every weight for which values, names, shapes or order tell one.

    Certain is what equal values show, or an equal name with a shape that leaves no choice of layout. All else is a
    guess: a square kernel whose layout no shape shows, a shape that is there once, the order in which modules run.
    """
    search = _Search(reference, port)
    search.by_values()
    search.by_name()
    search.by_order()
    search.by_shape()
    search.joined()
    search.split()
    order = {name: place for place, name in enumerate(reference.weights)}
    found = sorted(search.found, key=lambda each: order[each.sources[0]])
    return Guesses(tuple(found), tuple(search.left_reference), tuple(search.left_port))


@dataclass(slots=True)
class _Search:
    reference: Side
    port: Side
    found: list[Guess] = field(default_factory=list)
    used: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))

    @property
    def left_reference(self) -> list[str]:
        return [name for name in self.reference.weights if name not in self.used[0]]

    @property
    def left_port(self) -> list[str]:
        return [name for name in self.port.weights if name not in self.used[1]]

    def take(self, each: Guess) -> None:
        self.found.append(each)
        self.used[0].update(each.sources)
        self.used[1].update(each.targets)

    def one(self, name: str, target: str, why: str, *, certain: bool = False) -> None:
        order = self.order(name, target)
        assert order is not None
        axes = () if order == tuple(range(len(order))) else order
        if certain and self.is_open(name, target):
            certain, why = False, f"{why}; a square kernel, whose shape does not show its layout"
        self.take(Guess((name,), (target,), axes, certain=certain, why=why))

    def order(self, name: str, target: str) -> tuple[int, ...] | None:
        """The order of axes in which a weight has the shape of the port's, or None; by the habits of the frameworks."""
        return _order(self.reference.shape(name), self.port.shape(target), self.turned(name, target))

    def turned(self, name: str, target: str) -> tuple[int, ...]:
        """The order of axes that the frameworks' habits lead to expect."""
        axes = len(self.reference.shape(name))
        same = tuple(range(axes))
        kernels = kind_of(name) == kind_of(target) == "weight"
        table = axes == 2 and (_is_table(name) or _is_table(target))
        if self.reference.flax == self.port.flax or not kernels or table:
            return same
        there = CHANNELS_LAST.get(axes, same)
        return tuple(there.index(axis) for axis in same) if self.reference.flax else there

    def is_open(self, name: str, target: str) -> bool:
        """Whether the shape allows another layout than the one that is taken, where frameworks differ in theirs."""
        shape = self.reference.shape(name)
        habits = len(shape) > 1 and self.turned(name, target) != tuple(range(len(shape)))
        inputs, outputs = (-2, -1) if self.reference.flax else (1, 0)
        return habits and shape[inputs] == shape[outputs]

    def by_values(self) -> None:
        for link in pair_weights(self.reference.weights, self.port.weights).certain:
            whole = link.reference_part is None and link.port_part is None
            new = link.reference not in self.used[0] and link.port not in self.used[1]
            if whole and new and link.why in ("same values", "same name and values"):
                order = () if link.order == tuple(range(len(link.order))) else link.order
                shapes = self.reference.shape(link.reference), self.port.shape(link.port)
                if _order(*shapes, link.order) == link.order and not is_neutral(
                    self.reference.weights[link.reference].array
                ):
                    self.take(Guess((link.reference,), (link.port,), order, certain=True, why="equal values"))

    def by_name(self) -> None:
        named = {words_of(name): name for name in self.left_port}
        for name in self.left_reference:
            target = named.get(words_of(name), "")
            if target and self.order(name, target) is not None:
                self.one(name, target, "equal name and shape", certain=True)

    def by_order(self) -> None:
        """The rest, aligned in the order in which they run: as many as fit one to one, none out of its turn."""
        ours, theirs = self.left_reference, self.left_port
        shapes = [Counter(map(side.shape, left)) for side, left in ((self.reference, ours), (self.port, theirs))]
        # Each kind by itself: one side has all kernels of a module before its biases, the other a pair at a time.
        for kind in dict.fromkeys(map(_kind, ours)):
            one, other = ([name for name in left if _kind(name) == kind] for left in (ours, theirs))
            for name, target in _aligned(one, other, self.likeness):
                alone = shapes[0][self.reference.shape(name)] == shapes[1][self.port.shape(target)] == 1
                self.one(name, target, "the only one of its shape" if alone else "only shape and order")

    def by_shape(self) -> None:
        """What is out of its turn, and fits one weight alone."""
        for name in self.left_reference:
            fitting = [target for target in self.left_port if self.likeness(name, target)]
            rivals = [other for other in self.left_reference if fitting and self.likeness(other, fitting[0])]
            if len(fitting) == len(rivals) == 1:
                self.one(name, fitting[0], "only shape: the only one left that fits")

    def joined(self) -> None:
        """Neighbours of one shape that are one weight of the port."""
        for target in self.left_port:
            for names in _neighbours(self.reference, self.left_reference):
                whole, shape = self.port.shape(target), self.reference.shape(names[0])
                order = self.turned(names[0], target)
                axis = _along(tuple(shape[axis] for axis in order), whole, len(names))
                if _kind(target) == _kind(names[0]) and axis is not None:
                    axes = () if order == tuple(range(len(order))) else order
                    why = f"only shape: {len(names)} neighbours, joined"
                    self.take(Guess(tuple(names), (target,), axes, axis=order[axis], why=why))
                    break

    def split(self) -> None:
        """One weight of the reference that is several neighbours of the port."""
        for name in self.left_reference:
            for targets in _neighbours(self.port, self.left_port):
                part, order = self.port.shape(targets[0]), self.turned(name, targets[0])
                shape = tuple(self.reference.shape(name)[axis] for axis in order)
                axis = _along(part, shape, len(targets))
                if _kind(name) == _kind(targets[0]) and axis is not None:
                    axes = () if order == tuple(range(len(order))) else order
                    why = f"only shape: split into {len(targets)} neighbours"
                    self.take(Guess((name,), tuple(targets), axes, axis=axis, why=why))
                    break

    def likeness(self, name: str, target: str) -> int:
        """How well two weights go together; 0 where they cannot be one."""
        if self.order(name, target) is None or _kind(name) != _kind(target):
            return 0
        alike = split_name(split_name(name)[0])[1] == split_name(split_name(target)[0])[1]
        return 10 + 2 * alike + (numbers_in(name)[:1] == numbers_in(target)[:1])


def _order(shape: Shape, wanted: Shape, usual: tuple[int, ...]) -> tuple[int, ...] | None:
    """The usual order if it fits, else as they are, else the transposed."""
    if len(shape) != len(wanted):
        return None
    same = tuple(range(len(shape)))
    orders = (usual, same, same[::-1]) if len(shape) == 2 else (usual, same)
    return next((order for order in orders if tuple(shape[axis] for axis in order) == wanted), None)


def _aligned(ours: Sequence[str], theirs: Sequence[str], likeness: Callable[[str, str], int]) -> list[tuple[str, str]]:
    """The pairs, in order on both sides, whose likeness adds up to most (Needleman and Wunsch 1970)."""
    best = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    scores = [[likeness(name, target) for target in theirs] for name in ours]
    for i in range(len(ours) - 1, -1, -1):
        for j in range(len(theirs) - 1, -1, -1):
            paired = scores[i][j] + best[i + 1][j + 1] if scores[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(ours) and j < len(theirs):
        if scores[i][j] and best[i][j] == scores[i][j] + best[i + 1][j + 1]:
            pairs.append((ours[i], theirs[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _neighbours(side: Side, names: Sequence[str]) -> list[list[str]]:
    """Weights of one kind and shape whose modules stand in one module: those that may be parts of one."""
    groups: dict[tuple[str, str, Shape], list[str]] = {}
    for name in names:
        home = split_name(split_name(name)[0])[0]
        groups.setdefault((home, kind_of(name), side.shape(name)), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _along(part: Shape, whole: Shape, count: int) -> int | None:
    """The axis along which so many parts make up the whole."""
    if len(part) != len(whole):
        return None
    off = [axis for axis, (one, all_) in enumerate(zip(part, whole, strict=True)) if one != all_]
    return off[0] if len(off) == 1 and count * part[off[0]] == whole[off[0]] else None


def _is_table(name: str) -> bool:
    return "emb" in name.lower() or split_name(name)[1] == "embedding"


def _kind(name: str) -> str:
    """The kind of a weight, also of one that is called in a way of its own, as `weight_ih_l0`."""
    if kind_of(name) in ("weight", "bias", *STATISTICS):
        return kind_of(name)
    return "bias" if "bias" in split_name(name)[1] else "weight"
