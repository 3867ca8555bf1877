"""What the rooms above may ask of a model, one Protocol a capability. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy.typing as npt

from harness.adapters.writing import Writing

Array = npt.NDArray[Any]
Tap = Callable[[str, Array], None]
"""Called with the path of a module and what it put out, in the order of execution."""

Optimizer = Literal["sgd", "adamw"]
LEARNING_RATE: dict[Optimizer, float] = {"sgd": 0.05, "adamw": 0.01}
MOMENTUM, WEIGHT_DECAY = 0.9, 0.01
"""Of SGD, and of AdamW: steps as large as a float64 comparison after three of them can use."""


@dataclass(frozen=True, slots=True)
class State:
    """How a model is to be run in float64.

    values: weight name -> what it holds instead of what is stored; weights that are not named stay as they are.
    nudge: a seed; stored weights (those in `moved`, by default all) are moved by a random part of half a unit in
        their last place, up or down, as far as rounding may have moved them when they were stored.
    """

    values: Mapping[str, Array] = field(default_factory=dict)
    nudge: int | None = None
    moved: frozenset[str] | None = None

    def moves(self, name: str) -> bool:
        """Whether the weight is moved."""
        return self.nudge is not None and (self.moved is None or name in self.moved)


STORED = State()
"""The weights as they are."""


class Runs(Protocol):
    """Can be run, and watched while it runs."""

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        """The outputs of one call in inference mode, by name; the model is afterwards as it was before.

        inputs: argument name -> array. tap: gets the output of every module, under its dotted path.
        """

    def run_wide(self, inputs: Mapping[str, Any], *, state: State = STORED) -> Wide:
        """The outputs of the same call in float64; the model is afterwards as it was before."""

    def describe(self) -> str:
        """The framework and class, for people: `PyTorch BertModel`."""


@runtime_checkable
class Stepwise(Protocol):
    """Can be run in float64 without a compiler: quick for a model that is run once."""

    def run_stepwise(self, inputs: Mapping[str, Any], *, state: State = STORED) -> dict[str, Array]:
        """The outputs with weights, inputs and the model's type in float64; islands stay as they are."""


@dataclass(frozen=True, slots=True)
class Wide:
    """The outputs of a run in float64, and its islands: the places that computed in a shorter type all the same.

    constants: how many tables, that are no weights, the model has stored in a shorter type; a nudge moves them too.
    buffers: what a run in training mode left in the buffers, by weight name.
    dropped: how many elements the run in training mode put through dropout. uniform: how many uniform random numbers
        it drew by itself, for masks of its own. shared: how many dropouts had one mask for all tokens or all channels.
    """

    outputs: Mapping[str, Array]
    islands: tuple[str, ...] = ()
    constants: int = 0
    buffers: Mapping[str, Array] = field(default_factory=dict)
    dropped: int = 0
    uniform: int = 0
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter (it is trained) or a buffer, as it is stored."""

    array: Array
    trained: bool
    stored_as: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of what a module put out: its shape, max|value|, and root mean square."""

    shape: tuple[int, ...]
    largest: float
    rms: float


@runtime_checkable
class Summarizes(Protocol):
    """Can say what its modules put out without handing it over."""

    def statistics(self, inputs: Mapping[str, Any]) -> dict[str, Statistics]:
        """Of every module's output by path, in the order of execution; one that is called twice, the last time.

        Raises:
            UnsupportedError: a module runs inside a compiled loop, out of which no value can be taken.
        """


@runtime_checkable
class Holds(Protocol):
    """Has weights, a signature and settings, and can be made to hold other weights for a while."""

    def weights(self) -> dict[str, Weight]:
        """Every weight of a floating type by dotted path, in the model's order; one that is shared, once."""

    def accepts(self) -> frozenset[str]:
        """The names of the arguments that the model takes."""

    def settings(self) -> dict[str, Any]:
        """What the model says of itself: its configuration, as plain values."""

    def holding(self, values: Mapping[str, Array]) -> AbstractContextManager[Any]:
        """While open, the model (the user's own kind of object, which is yielded) holds `values` in float64."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """d loss / d parameter and d loss / d input by name, in float64. Zero where the loss does not depend on it."""

    parameters: Mapping[str, Array]
    inputs: Mapping[str, Array]
    islands: tuple[str, ...] = ()
    constants: int = 0


@runtime_checkable
class Differentiates(Protocol):
    """Can be run backwards, and trained."""

    def gradients(
        self, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], *, state: State = STORED
    ) -> Gradients:
        """Gradients of the loss sum(output x cotangent), in inference mode, in float64."""

    def has_training_mode(self) -> bool:
        """Whether the model has a switch between training and inference, as far as that can be seen."""

    def run_training(
        self, inputs: Mapping[str, Any], *, state: State = STORED, seed: int = 0, uniform: float = 0.5
    ) -> Wide:
        """The outputs in training mode, in float64.

        Dropout keeps every element, and scales it as it would those that it keeps: where it stands and how much it
        drops then shows in the outputs, without chance. Every uniform random number is `uniform`. seed: for whatever
        else draws random numbers.
        """

    def train(
        self,
        inputs: Mapping[str, Any],
        cotangents: Mapping[str, Array],
        *,
        optimizer: Optimizer,
        steps: int,
        frozen: Collection[str] = (),
        state: State = STORED,
    ) -> dict[str, Array]:
        """Every weight and buffer after `steps` of the optimizer on that loss, in training mode, in float64.

        Dropout is as for `run_training`. frozen: weights that the optimizer is not given.
        """


@dataclass(frozen=True, slots=True)
class Chunk:
    """One step of decoding: positions `start` to `stop` of the tokens are given, what lies before is in the cache."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module, in float64.

    name: its dotted path, `path#2` for its second call; empty for the model itself. caller: the call inside which it
    happened. kind: its class. inputs: what it was given by its caller, argument name -> array, number, switch or None
    (`states[0]` inside a container). outputs: what it computed: `""` for the first array, `[1]` for others.
    drawn: in training mode, how many random elements it drew in its own code, and how many of its masks are shared.
    """

    name: str
    caller: str
    kind: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Array]
    drawn: tuple[int, int] = (0, 0)


Leaves = Mapping[str, Any]
"""Leaf name -> what stands there."""

NOTHING: Mapping[str, Leaves] = {}


@dataclass(frozen=True, slots=True)
class Mode:
    """How a model is run to be watched: forwards in inference mode, or otherwise.

    training: in training mode, with dropout held still as for `run_training`. chunks: step by step with a cache; a
    module's call in the second step is its second call. cotangents: backwards from the loss sum(output x cotangent).
    """

    training: bool = False
    chunks: Sequence[Chunk] = ()
    cotangents: Mapping[str, Array] | None = None


FORWARD = Mode()


@runtime_checkable
class Replays(Protocol):
    """Can be run module by module, each on inputs from elsewhere."""

    def replay(
        self,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        *,
        feed: Mapping[str, Leaves] = NOTHING,
        graft: Mapping[str, Leaves] = NOTHING,
        state: State = STORED,
        mode: Mode = FORWARD,
    ) -> Mapping[str, Array]:
        """Run in float64, hand every call to `meet` when it ends, children before parents; parameters' gradients.

        feed: call name -> what it computes with instead of what it is given (and `Call.inputs` still says).
        graft: call name -> what it hands on instead of what it computed (and `Call.outputs` still says).

        Backwards, a call is given the gradients of its outputs, and puts out the gradients of its inputs, each the
        part that flows through this call; zero where none does. Calls then come in the order in which gradients leave
        them. What is returned are the gradients of the parameters, by name; forwards, nothing.

        Raises:
            UnsupportedError: the modules cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class Recipe:
    """One module alone, as the text of a script that needs nothing but its framework and the library it is from.

    imports: lines; folders: what has to be on the path for them. text: `def NAME(weights, inputs):`, from named arrays
    to the array asked for; in float32, and in float64. double: what a script sets before it computes in float64.
    weights: by the names that the text wants, as they are held: nothing is copied. called, where: the class, and its
    file and line.
    """

    imports: tuple[str, ...]
    folders: tuple[str, ...]
    text: str
    text64: str
    double: tuple[str, ...]
    weights: Mapping[str, Array]
    called: str
    where: str = ""


@runtime_checkable
class Scripts(Protocol):
    """Can say how a script builds one of its modules and calls it."""

    def recipe(
        self, path: str, given: Mapping[str, Any], inputs: Mapping[str, Any], *, output: str, state: State = STORED
    ) -> Recipe:
        """The module at `path`, called with `given` (as `Call.inputs`): its array `output` (as `Call.outputs`).

        inputs: of the whole model, which may have to be run for its modules to be seen.

        Raises:
            UnsupportedError: it cannot be built from what is known of it, for the reason given.
        """


@dataclass(frozen=True, slots=True)
class Loading:
    """How a script makes the port from the reference as their library does, both small.

    settings: what the reference's configuration has other than by default, sizes left out. written: the text of
    `pair()` and of `outputs(reference, port)` with such settings and the name of an output. mend: gives the module at
    fault in the port the reference's weights, and says whether it had others. called, where: the port's class.
    """

    imports: tuple[str, ...]
    folders: tuple[str, ...]
    settings: Mapping[str, Any]
    written: Callable[[Mapping[str, Any], str], str]
    mend: Callable[[Any, Any], bool]
    called: str
    where: str


@runtime_checkable
class Loads(Protocol):
    """Can say how it was made from its original."""

    def loading(self, reference: Any, inputs: Mapping[str, Any], path: str, port_path: str) -> Loading:
        """From `reference`, another side; both paths name the module at fault.

        Raises:
            UnsupportedError: they are not of one library that does so.
        """


@runtime_checkable
class Shortens(Protocol):
    """Can be run in half precision."""

    def run_short(self, inputs: Mapping[str, Any], *, precision: str) -> dict[str, Array]:
        """The outputs with parameters, inputs and the model's own type in `bfloat16` or `float16`, as float32."""


@runtime_checkable
class Compiles(Protocol):
    """Has a compiler that takes the whole model at once."""

    def run_compiled(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The outputs of one call in inference mode, compiled, with weights and types as they are, without a tap."""


@runtime_checkable
class Divides(Protocol):
    """Can be run with its batch divided over several devices."""

    def step_over(
        self, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], *, devices: int
    ) -> dict[str, Array]:
        """The outputs, and every weight after a step of SGD on the loss sum(output x cotangent), in float64.

        Raises:
            UnsupportedError: there are fewer devices, or they do not divide the batch.
        """


@runtime_checkable
class Draws(Protocol):
    """Can be run in training mode with dropout at work."""

    def draw(
        self, inputs: Mapping[str, Any], *, draws: int, seed: int, state: State = STORED
    ) -> list[dict[str, Array]]:
        """The outputs of that many runs in training mode, each with other elements dropped."""


@runtime_checkable
class Decodes(Protocol):
    """Can be run step by step with a cache."""

    def decode(self, inputs: Mapping[str, Any], chunks: Sequence[Chunk], *, state: State = STORED) -> Wide:
        """The outputs of all steps, joined along the tokens; outputs without tokens are left out.

        Raises:
            UnsupportedError: the model takes no cache.
        """


@runtime_checkable
class Generates(Protocol):
    """Can go on with a text by itself."""

    def generate(self, inputs: Mapping[str, Any], how: Writing) -> Array:
        """The tokens given and those written, with the weights and types as they are.

        A model with an encoder is given what that reads, and begins with its own first token.

        Raises:
            UnsupportedError: the model has no such method.
        """


class UnsupportedError(Exception):
    """A model cannot do what is asked, for the reason given; the check that asked is listed as not made."""
