"""The ways on which models are saved and loaded: the framework and form on either side, and what is special."""

from __future__ import annotations

from dataclasses import dataclass, replace

MISSING = "a weight missing"
STRAY = "a weight too many"
RESHAPED = "a weight of another shape"
IGNORED = "a weight of another shape, ignore_mismatched_sizes=True"
TO_HEAD = "of the base model"
TO_BASE = "into the base model"
NO_SHARD = "a shard lost"
NO_INDEX = "its index lost"
HALF = "in bfloat16"
AS_HALF = "dtype=bfloat16"
APART = "_do_init=False"
OVER = "over another"
BESIDE = "beside another"
BELOW = "in a subfolder of another"
TOLD = "what is said"
PUSHED = "by way of the Hub"
"""How a trip differs from saving and loading alone, as it stands in its name.

Over: another model was saved to the same folder before, in another form. Beside: a model of the other framework is in
the folder. Below: the weights are in a subfolder, and the folder holds another model. What is said: nothing is said
to be missing that is there. By way of the Hub: pushed to a stand-in of it, after another model, and loaded by name."""

WHOLE = ("EncoderDecoderModel", "DualEncoderModel")
"""How the names of classes end that refuse to be made without their parameters."""

STRAYS = {"pytorch": "stray.weight", "flax": "stray.kernel"}
TAMPERED = (MISSING, STRAY, RESHAPED, IGNORED)
REFUSED = (RESHAPED, NO_SHARD, NO_INDEX)
BEFORE = {"bin": "safetensors", "safetensors": "msgpack", "msgpack": "safetensors", "sharded msgpack": "msgpack"}
"""The form of the model that was in the folder before."""


@dataclass(frozen=True, slots=True)
class Trip:
    """One way: saved by a framework's class in a form, loaded by a framework's class. how: what is special in it."""

    saved: str
    form: str
    loaded: str
    how: str = ""

    @property
    def name(self) -> str:
        """As it stands in the register after the twins."""
        return f"{self.saved} {self.form} to {self.loaded}{', ' if self.how else ''}{self.how}"


WAYS = (
    Trip("pytorch", "safetensors", "flax"),
    Trip("flax", "msgpack", "flax"),
    Trip("flax", "msgpack", "pytorch"),
)
"""What every class does."""

CONTROL = Trip("pytorch", "safetensors", "pytorch")
"""The way in which Flax has no part."""

MORE = (
    CONTROL,
    Trip("pytorch", "sharded safetensors", "flax"),
    Trip("pytorch", "bin", "flax"),
    Trip("pytorch", "sharded bin", "flax"),
    Trip("flax", "sharded msgpack", "flax"),
    Trip("flax", "safetensors", "flax"),
    Trip("flax", "sharded safetensors", "flax"),
    Trip("flax", "sharded msgpack", "pytorch"),
    Trip("flax", "safetensors", "pytorch"),
    *(replace(way, how=how) for way in (*WAYS, CONTROL) for how in (*TAMPERED, TO_HEAD, TO_BASE, HALF, AS_HALF, TOLD)),
    *(replace(way, how=APART) for way in WAYS[:2]),
    *(replace(way, how=BESIDE) for way in WAYS),
    *(Trip("pytorch", "sharded bin", "flax", how) for how in (NO_SHARD, NO_INDEX)),
    *(Trip("flax", "sharded msgpack", "flax", how) for how in (NO_SHARD, NO_INDEX, OVER)),
    *(replace(way, how=PUSHED) for way in (*WAYS, CONTROL)),
    Trip("flax", "safetensors", "flax", PUSHED),
    Trip("flax", "sharded msgpack", "flax", PUSHED),
    Trip("pytorch", "bin", "flax", OVER),
    Trip("pytorch", "bin", "flax", BELOW),
    Trip("flax", "safetensors", "flax", OVER),
    Trip("flax", "msgpack", "flax", OVER),
)
"""What one class of a family does besides."""
