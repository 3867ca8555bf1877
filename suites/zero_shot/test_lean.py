"""The Llama that needs no transformers computes what theirs does, and takes no folder that it does not know."""

import json
import subprocess
import sys

import pytest

from harness.zeroshot.score import plan, run
from harness.zeroshot.way import TOLERANCE
from suites.zero_shot.small_models import TASK, Words, farthest, one_by_one, small

torch = pytest.importorskip("torch")

KINDS = {
    "SmolLM2": {"tie_word_embeddings": True},
    "Llama": {"tie_word_embeddings": False, "rope_theta": 5e5},
    "with biases": {"attention_bias": True, "mlp_bias": True},
    "with wide heads": {"head_dim": 16},
}


@pytest.fixture
def saved(tmp_path):
    def save(**changed):
        model = small("Llama", **changed)
        model.save_pretrained(tmp_path)
        return model

    return save


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["tree", "prefix", "plain"])
def test_scores_are_those_of_transformers(saved, tmp_path, kind, way):
    model = saved(**KINDS[kind])
    planned = plan(tmp_path, Words(), TASK, way=way)
    assert planned.model.describe() == "PyTorch LeanLlama"
    assert farthest(run(planned), one_by_one(model, TASK)) <= TOLERANCE


def test_padding_on_the_left_is_not_seen(saved, tmp_path):
    from harness.adapters.pytorch.lean import load_lean

    saved()
    lean, ids = load_lean(tmp_path), torch.tensor([[5, 6, 7, 8]])
    padded = torch.tensor([[0, 0, 5, 6, 7, 8]])
    mask, places = torch.tensor([[0, 0, 1, 1, 1, 1]]), torch.tensor([[0, 0, 0, 1, 2, 3]])
    with torch.no_grad():
        found = lean(padded, attention_mask=mask, position_ids=places).logits[:, 2:]
        torch.testing.assert_close(found, lean(ids).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_act": "gelu"},
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"dtype": "bfloat16"},
        {"architectures": ["MistralForCausalLM"]},
    ],
)
def test_what_it_does_not_know_is_left_to_transformers(saved, tmp_path, changed):
    from harness.adapters.pytorch.lean import load_lean

    saved()
    assert load_lean(tmp_path) is not None
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    assert load_lean(tmp_path) is None


def test_transformers_is_not_imported(saved, tmp_path):
    saved()
    script = "import sys; from harness.adapters.language import language_model\n"
    script += f"language_model({str(tmp_path)!r}); assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
