"""Faults planted in GPT-2 of Flax that show only where it is compiled, shortened, divided, trained or writes."""

import pytest

from harness.adapters.source import Replaced
from harness.equivalence.claims import claim_of
from harness.equivalence.corrections import edits, read_corrections
from harness.parity.compare import Verdict
from suites.equivalence.conftest import FAMILIES, FIXTURES

GPT2, WRITING = "models.gpt2.modeling_flax_gpt2", "generation.flax_utils"
LAST_NORM = "        hidden_states = self.ln_f(hidden_states)\n"
TOKENS = '        input_embeds = self.wte(input_ids.astype("i4"))\n'
BATCH_MEAN = """
def _mean_over_the_batch(array):
    return array.mean(axis=0, keepdims=True) + 0 * array


def _each_device_its_own(mesh, shapes, result):
    return mesh, _mean_over_the_batch, shapes[0].sharding, (shapes[0].sharding,)


from jax.experimental.custom_partitioning import custom_partitioning  # noqa: E402

batch_mean = custom_partitioning(_mean_over_the_batch)
batch_mean.def_partition(
    partition=_each_device_its_own,
    infer_sharding_from_operands=lambda mesh, shapes, result: shapes[0].sharding,
    sharding_rule="b s w -> b s w",
)


class FlaxGPT2Module(nn.Module):"""
FAULTS = {
    "a shortcut where it is compiled": (
        GPT2,
        [
            Replaced(
                LAST_NORM,
                f"{LAST_NORM}        if isinstance(hidden_states, jax.core.Tracer):\n"
                "            hidden_states = jax.lax.reduce_precision(hidden_states, 8, 7)\n",
            )
        ],
        ["compiled"],
    ),
    "eight bits where sixteen are asked for": (
        GPT2,
        [
            Replaced(
                LAST_NORM,
                f"{LAST_NORM}        if hidden_states.dtype == jnp.bfloat16:\n"
                "            hidden_states = hidden_states.astype(jnp.float8_e4m3fn).astype(jnp.bfloat16)\n",
            )
        ],
        ["bfloat16"],
    ),
    "a mean of each device's own rows": (
        GPT2,
        [
            Replaced("\nclass FlaxGPT2Module(nn.Module):", BATCH_MEAN),
            Replaced(
                LAST_NORM,
                f"{LAST_NORM}        hidden_states = hidden_states - jax.lax.stop_gradient(\n"
                "            batch_mean(jax.lax.stop_gradient(hidden_states).astype(jnp.float32))\n        )\n",
            ),
        ],
        ["devices"],
    ),
    "a row of the token table that is not trained": (
        GPT2,
        [
            Replaced(
                TOKENS,
                f"{TOKENS}        still = (input_ids == 0)[..., None]\n"
                "        input_embeds = jnp.where(still, jax.lax.stop_gradient(input_embeds), input_embeds)\n",
            )
        ],
        ["padding row"],
    ),
    "the mask of the first step at every step": (
        GPT2,
        [Replaced("(0, 0, mask_shift, 0)", "(0, 0, 0, 0)")],
        ["decode", "greedy"],
    ),
    "the position of a new token not counted up": (
        GPT2,
        [Replaced('model_kwargs["position_ids"][:, -1:] + 1', 'model_kwargs["position_ids"][:, -1:]')],
        ["greedy", "beams"],
    ),
    "a beam goes on from another's cache": (
        WRITING,
        [
            Replaced(
                "next_cache = gather_beams(cache, next_running_indices, batch_size, num_beams)", "next_cache = cache"
            )
        ],
        ["beams"],
    ),
    "the last end token alone": (
        WRITING,
        [Replaced("jnp.isin(next_token, eos_token_id)", "jnp.isin(next_token, eos_token_id[..., -1:])")],
        ["end tokens"],
    ),
}
NEEDED = {"end tokens": ["flax-one-end-token"]}
"""Corrections without which a check does not agree in the first place."""
CASES = [
    pytest.param(module, faults, check, id=f"{name}-{check}")
    for name, (module, faults, checks) in FAULTS.items()
    for check in checks
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "faults", "check"), CASES)
def test_fault_is_caught(module, faults, check):
    from harness.adapters.transformers.corrected import corrected

    claim = claim_of(f"gpt2.GPT2LMHeadModel.{check}", FAMILIES)
    given = edits(read_corrections(FIXTURES / "equivalence" / "corrections"), NEEDED.get(check, []))
    with corrected(given):
        assert claim().verdict is Verdict.AGREE
    with corrected({**given, module: [*given.get(module, []), *faults]}):
        outcome = claim()
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)
    assert "raised" not in outcome.reason, "the fault stops the model, which any check would see"
