"""Dotted names for the leaves of a tree of variables, and the way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from harness.adapters.jax.program import is_weight

NOT_WEIGHTS = ("cache", "intermediates", "losses", "metrics")
"""Collections of linen that a run makes, and no checkpoint holds."""


@dataclass(frozen=True, slots=True)
class Names:
    """name -> path in the tree of variables, for every weight; `rest` are the leaves that are none."""

    paths: Mapping[str, tuple[str, ...]]
    rest: Mapping[tuple[str, ...], Any]

    def flatten(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The weights of such a tree by name; those that it lacks are left out."""
        flat = flatten_dict(_plain(variables))  # type: ignore[no-untyped-call]
        return {name: flat[path] for name, path in self.paths.items() if path in flat}

    def unflatten(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The tree of all variables with these weights."""
        tree: dict[str, Any] = unflatten_dict(  # type: ignore[no-untyped-call]
            {**self.rest, **{self.paths[name]: value for name, value in weights.items()}}
        )
        return tree


def names_of(variables: Mapping[str, Any]) -> Names:
    """Names for the weights of `{"params": ..., "batch_stats": ...}`: the path without the collection, unless two
    collections hold the same path.
    """
    flat = flatten_dict(_plain(variables))  # type: ignore[no-untyped-call]
    held = [path for path, value in flat.items() if is_weight(value) and path[0] not in NOT_WEIGHTS]
    counts = Counter(path[1:] for path in held)
    paths = {".".join(map(str, path[1:] if counts[path[1:]] == 1 else path)): path for path in held}
    rest = {path: value for path, value in flat.items() if path not in held}
    return Names(paths, rest)


def _plain(tree: Any) -> Any:
    """The tree as plain dictionaries: older models come with frozen ones."""
    return {key: _plain(value) for key, value in tree.items()} if isinstance(tree, Mapping) else tree
