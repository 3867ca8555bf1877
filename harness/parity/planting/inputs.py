"""Faults in what the model does with its mask, positions and token types."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from harness.parity.compare import Array
from harness.parity.planting.fault import Fault, Site, Watched, replaced

NO_PADDING = "no input holds padding"
FROM_ZERO = "positions start at 0 in every row"
ONE_TYPE = "every row has the same token types"


def input_faults(watched: Watched) -> Iterator[Fault]:
    """The model takes a mask, positions or types, and does something else with them.

    An input that it takes, and is not given here, counts: other inputs may give it.
    """
    for name in [n for n in ("attention_mask", "decoder_attention_mask") if _taken(watched, n)] or [*watched.masks]:
        yield _fault("mask ignored", "it hides nothing", name, np.ones_like, NO_PADDING)
        yield _fault("mask inverted", "it hides what may be seen", name, lambda a: 1 - (a != 0), NO_PADDING)
        yield _fault("mask moved", "it is moved by one", name, lambda a: np.roll(a, 1, axis=-1), NO_PADDING)
    if _taken(watched, "position_ids"):
        yield _fault("positions ignored", "they are counted from 0", "position_ids", _counted, FROM_ZERO)
    types = watched.settings.get("type_vocab_size")
    if "token_type_ids" in watched.inputs or (types and "token_type_ids" in watched.accepts):
        yield _fault("token types ignored", "the default is taken", "token_type_ids", np.zeros_like, ONE_TYPE)


def _taken(watched: Watched, name: str) -> bool:
    return name in watched.inputs or name in watched.accepts


def _fault(cause: str, what: str, name: str, change: Callable[[Array], Array], unseen: str) -> Fault:
    site = Site("", name, given=True)

    def made(watched: Watched, _name: str) -> Array | None:
        now = site.of(watched)
        return None if now is None else np.asarray(change(now)).astype(now.dtype)

    return Fault(cause, f"{name}: {what}", "", replaced(site, made), unseen)


def _counted(positions: Array) -> Array:
    return np.broadcast_to(np.arange(positions.shape[-1]), positions.shape)
