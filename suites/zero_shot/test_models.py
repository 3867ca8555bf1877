"""The engine on small random models of every kind at hand: all ways, batches and orders give the model's own scores."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness.zeroshot.score import plan, run
from harness.zeroshot.way import TOLERANCE
from suites.zero_shot.small_models import TASK, Words, farthest, one_by_one, small

KINDS = {
    "Llama": "tree",
    "GPT2": "tree",
    "OPT": "tree",
    "GPTNeoX": "tree",
    "Gemma2, with a softcap": "prefix",
    "Bloom, without positions": "prefix",
    "GPTNeo": "prefix",
}
"""Of each kind the way that is found: windows and slopes need to know how far apart tokens are."""


@pytest.mark.parametrize("kind", KINDS)
def test_padding_batch_and_order_move_no_score(kind):
    model = small(kind)
    wanted = one_by_one(model, TASK)
    spread = np.ptp([value for values in wanted.values() for value in values])
    assert spread > 5, "the model knows no difference between the texts, so that no fault would show"
    planned = plan(model, Words(), TASK)
    assert planned.chosen.way == KINDS[kind], planned.chosen
    shuffled = [TASK[number] for number in np.random.default_rng(0).permutation(len(TASK))]
    for way in (planned.chosen.way, "plain"):
        for batch, examples in ((1, TASK), (40, shuffled), (768, TASK), (768, shuffled)):
            found = run(plan(model, Words(), examples, way=way, batch=batch))
            assert farthest(found, wanted) <= TOLERANCE


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "OPT", "GPTNeoX"])
def test_a_long_beginning_of_all_is_run_once_under_the_tree(kind):
    model = small(kind)
    task = [replace(each, prompt=f"{'the clerk was late because ' * 4}{each.prompt}") for each in TASK]
    wanted = one_by_one(model, task)
    planned = plan(model, Words(), task)
    assert planned.chosen.way == "tree", planned.chosen
    for batch in (32, 512):
        calls = []
        seen = Watched(planned.model, calls)
        assert farthest(run(replace(planned, model=seen, batch=batch)), wanted) <= TOLERANCE
        assert {call.prefix.size for call in calls} == {1 + 20 + 4}


@dataclass
class Watched:
    """A language model of which the calls are kept."""

    model: object
    calls: list

    def log_probabilities(self, rows):
        self.calls.append(rows)
        return self.model.log_probabilities(rows)

    def __getattr__(self, name):
        return getattr(self.model, name)


def flax_of(model):
    """The same model in transformers' Flax; small, and with the rotary base that it has whatever is configured."""
    import tempfile

    from transformers import FlaxLlamaForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return FlaxLlamaForCausalLM.from_pretrained(folder, from_pt=True)


def nnx_of(model):
    from fixtures.ports.nnx.llama import convert

    return convert(model)


@pytest.mark.parametrize("port", [flax_of, nnx_of])
def test_flax_scores_as_pytorch_does_in_few_shapes(port):
    pytest.importorskip("jax")
    transformers = pytest.importorskip("transformers")
    if port is flax_of and not hasattr(transformers, "FlaxLlamaForCausalLM"):
        pytest.skip("this transformers has no Flax models: install transformers<5")
    model = small("Llama")
    wanted = one_by_one(model, TASK)
    planned = plan(port(model), Words(), TASK)
    assert planned.chosen.way == "plain"
    proved = planned.model.shapes
    shuffled = [TASK[number] for number in np.random.default_rng(0).permutation(len(TASK))]
    for examples in (TASK, shuffled):
        assert farthest(run(plan(planned.model, Words(), examples)), wanted) <= TOLERANCE
    assert planned.model.shapes == proved, "all texts have 9 to 13 tokens: one shape, that of the proof"


def test_one_task_has_one_fingerprint_of_weights_and_another_of_others():
    from harness.adapters.language import language_model

    model = small("Llama")
    before = language_model(model).fingerprint()
    assert language_model(small("Llama")).fingerprint() == before
    next(model.parameters()).data[0, 0] += 1e-3
    assert language_model(model).fingerprint() != before


def test_a_model_is_afterwards_as_it_was():
    model = small("GPT2").train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    list(run(plan(model, Words(), TASK)))
    assert model.training
    assert all((tensor == state[name]).all() for name, tensor in model.state_dict().items())
    assert not model.get_output_embeddings()._forward_pre_hooks
