"""What runs a scheduler of diffusers, by its class: most have one way to be driven, three have their own."""

from __future__ import annotations

from harness.adapters.sampling import Recipe, Samples


def driven(recipe: Recipe, *, compiled: bool = False) -> Samples:
    """The scheduler as something that samples.

    compiled: whether a scheduler in Flax takes its steps under `jax.jit`.

    Raises:
        ImportError: the framework of the scheduler is not installed.
    """
    if recipe.name == "ScoreSdeVeScheduler":
        from harness.adapters.diffusers.exploding import ScoreSde

        return ScoreSde(recipe)
    if recipe.name == "FlaxScoreSdeVeScheduler":
        from harness.adapters.diffusers.flax_exploding import FlaxScoreSde

        return FlaxScoreSde(recipe)
    if recipe.name == "FlaxKarrasVeScheduler":
        from harness.adapters.diffusers.flax_exploding import FlaxKarras

        return FlaxKarras(recipe)
    if recipe.name.startswith("Flax"):
        from harness.adapters.diffusers.flax import FlaxScheduler

        return FlaxScheduler(recipe, compiled)
    from harness.adapters.diffusers.run import Scheduler

    return Scheduler(recipe)
