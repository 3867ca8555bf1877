"""A scheduler's configuration, saved, loaded and handed to compatible classes; and options that nobody can mean."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from harness.adapters.diffusers.copies import float64, scheduler_class
from harness.adapters.diffusers.properties import Finding, apart, ran, start
from harness.adapters.sampling import Recipe


def saved(recipe: Recipe) -> Finding:
    """How many settings differ, or how far the grid is off, after saving and loading, or making one of the config."""
    kind = scheduler_class(recipe.name, wide=False, edits=recipe.edits)
    found = []
    for how in ("loaded", "of its config"):
        original = kind(**recipe.options)
        original.set_timesteps(recipe.steps)
        copy = _loaded(original) if how == "loaded" else kind.from_config(original.config)
        error, where = _differs(original, copy, recipe.steps)
        changed, keys = _differs(kind(**recipe.options), original, None)
        found += [(error, f"{how}: {where}"), (changed, f"changed by its timesteps: {keys}")]
    return max(found)


def compatible(recipe: Recipe) -> Finding:
    """With how many of its compatible classes a loaded one cannot be exchanged there and back, and what is raised."""
    import diffusers

    kind = scheduler_class(recipe.name, wide=False, edits=recipe.edits)
    loaded = _loaded(kind(**recipe.options))
    wrong = []
    for name in sorted(set(kind._compatibles) - {recipe.name}):
        try:
            other = getattr(diffusers, name).from_config(loaded.config)
            other.set_timesteps(recipe.steps)
            error, where = _differs(loaded, kind.from_config(other.config), None)
            if error:
                wrong.append(f"{name} and back: {where}")
        except (TypeError, ValueError, ArithmeticError, LookupError, NotImplementedError) as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return float(len(wrong)), "; ".join(wrong)


def _loaded(scheduler: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        scheduler.save_pretrained(folder)
        return type(scheduler).from_pretrained(folder)


def _differs(here: Any, there: Any, steps: int | None) -> Finding:
    """How many settings differ, else the distance of the grids of that many steps."""
    keys = [key for key in here.config if not key.startswith("_")]
    changed = [key for key in keys if not _same(here.config[key], there.config.get(key))]
    if changed or steps is None:
        return float(len(changed)), ", ".join(
            f"{key} {here.config[key]!r} {there.config.get(key)!r}" for key in changed
        )
    for scheduler in (here, there):
        scheduler.set_timesteps(steps)
    pairs = [
        (getattr(here, name).double(), getattr(there, name).double())
        for name in ("timesteps", "sigmas")
        if hasattr(here, name)
    ]
    return max(apart(*pair) for pair in pairs), "the grid"


def _same(here: Any, there: Any) -> bool:
    return bool(np.array_equal(np.asarray(here, dtype=object), np.asarray(there, dtype=object)))


def refused(recipe: Recipe) -> Finding:
    """0 where the class raises when it is made, given its steps or run; 1 where it puts something out."""
    try:
        with float64(recipe.wide):
            scheduler = scheduler_class(recipe.name, wide=recipe.wide, edits=recipe.edits)(**recipe.options)
            scheduler.set_timesteps(recipe.steps)
            out = ran(scheduler, start(recipe))
    except Exception as error:
        return 0.0, f"{type(error).__name__}: {error}"
    return 1.0, f"accepted, puts out {float(out.flatten()[0]):.4g}"
