"""Faults planted in the library's source: each check of the suite catches the one that it is for."""

import sys
from importlib import import_module

import pytest

from harness.adapters.source import Replaced
from harness.equivalence.claims import claim_of
from harness.parity.compare import Verdict
from suites.equivalence.conftest import FAMILIES

BERT, WAV2VEC2 = "models.bert.modeling_flax_bert", "models.wav2vec2.modeling_flax_wav2vec2"
LOADING = "modeling_flax_pytorch_utils"
EPSILON = Replaced(
    "        self.LayerNorm = nn.LayerNorm(epsilon=self.config.layer_norm_eps, dtype=self.dtype)\n"
    "        self.dropout = nn.Dropout(rate=self.config.hidden_dropout_prob)\n\n"
    "    def __call__(self, input_ids",
    "        self.LayerNorm = nn.LayerNorm(epsilon=1e-3, dtype=self.dtype)\n"
    "        self.dropout = nn.Dropout(rate=self.config.hidden_dropout_prob)\n\n"
    "    def __call__(self, input_ids",
)
ACTIVATION = Replaced(
    "        self.activation = ACT2FN[self.config.hidden_act]\n\n    def __call__(self, hidden_states):\n"
    "        hidden_states = self.dense(hidden_states)\n        hidden_states = self.activation",
    '        self.activation = ACT2FN["gelu"]\n\n    def __call__(self, hidden_states):\n'
    "        hidden_states = self.dense(hidden_states)\n        hidden_states = self.activation",
)
NORM = "hidden_states = self.LayerNorm(hidden_states)\n        hidden_states = self.dropout("
NO_MASK = Replaced("jnp.full(attention_mask.shape, jnp.finfo(self.dtype).min)", "jnp.full(attention_mask.shape, -1.0)")
FAULTS = {
    "epsilon of the embeddings": (BERT, EPSILON, ["to_flax", "from_flax", "float64", "layer_norm_eps=0.01"]),
    "activation fixed": (BERT, ACTIVATION, ["hidden_act=relu"]),
    "kernels not transposed back": (
        LOADING,
        Replaced("            flax_tensor = flax_tensor.T\n", "            flax_tensor = jnp.flip(flax_tensor).T\n"),
        ["from_flax"],
    ),
    "no gradient through the first norm": (
        BERT,
        Replaced(NORM, NORM.replace("(hidden_states)", "(jax.lax.stop_gradient(hidden_states))", 1)),
        ["gradients"],
    ),
    "mask added where it should hide": (BERT, NO_MASK, ["to_flax"]),
    "no number where all is hidden": (
        BERT,
        Replaced(NO_MASK.old, "jnp.full(attention_mask.shape, -jnp.inf)"),
        ["masked rows"],
    ),
    "hidden in one row, hidden in all": (
        BERT,
        Replaced(
            "            attention_mask = jnp.expand_dims(attention_mask, axis=(-3, -2))\n",
            "            attention_mask = jnp.expand_dims(attention_mask, axis=(-3, -2))\n"
            "            attention_mask = attention_mask * attention_mask.min(axis=0, keepdims=True)\n",
        ),
        ["masked rows"],
    ),
    "dropout of the embeddings at another rate": (
        BERT,
        Replaced(
            EPSILON.old, EPSILON.old.replace("self.config.hidden_dropout_prob", "self.config.hidden_dropout_prob / 2")
        ),
        ["train"],
    ),
}
FAULTS_OF_AUDIO = {
    "padding attended to": Replaced(
        "                jnp.full(attention_mask.shape, jnp.finfo(self.dtype).min).astype(self.dtype),\n",
        "                jnp.full(attention_mask.shape, 0.0).astype(self.dtype),\n",
    ),
    "padding convolved": Replaced(
        "jnp.broadcast_to(attention_mask[:, :, None], hidden_states.shape), hidden_states, 0",
        "jnp.broadcast_to(attention_mask[:, :, None], hidden_states.shape), hidden_states, hidden_states",
    ),
}
QUICK = ("to_flax", "from_flax", "layer_norm_eps=0.01", "hidden_act=relu")
CASES = [
    pytest.param(*fault[:2], check, id=f"{name}-{check}", marks=[] if check in QUICK else [pytest.mark.slow])
    for name, fault in FAULTS.items()
    for check in fault[2]
]


@pytest.mark.parametrize(("module", "edit", "check"), CASES)
def test_fault_is_caught(module, edit, check):
    from harness.adapters.transformers.corrected import corrected

    claim = claim_of(f"bert.BertForPreTraining.{check}", FAMILIES)
    with corrected({module: [edit]}):
        outcome = claim()
    assert outcome.verdict in (Verdict.DIVERGE, Verdict.WITHIN_TOLERANCE), str(outcome)
    assert outcome.reason


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS_OF_AUDIO)
def test_a_port_that_minds_the_padding_of_audio_less_is_caught(fault):
    from harness.adapters.transformers.corrected import corrected

    base = "wav2vec2.Wav2Vec2Model."
    padded = claim_of(f"{base}num_hidden_layers=1, inputs=padded audio", FAMILIES)
    assert padded().verdict is Verdict.AGREE
    with corrected({WAV2VEC2: [FAULTS_OF_AUDIO[fault]]}):
        outcome = padded()
        assert claim_of(f"{base}hidden_size=64", FAMILIES)().verdict is Verdict.AGREE, "it shows without padding too"
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)


def test_afterwards_the_library_is_what_it_was():
    from harness.adapters.transformers.corrected import corrected

    claim = claim_of("bert.BertForPreTraining.to_flax", FAMILIES)
    assert claim().verdict is Verdict.AGREE
    with corrected({BERT: [EPSILON]}):
        assert claim().verdict is not Verdict.AGREE
    assert claim().verdict is Verdict.AGREE
    with corrected({BERT: [NO_MASK]}):
        other = claim()
    with corrected({BERT: [EPSILON]}):
        assert claim().error != other.error


def test_what_extends_a_corrected_module_is_what_it_was(monkeypatch):
    """Even if not imported before: it would extend the changed classes, and no later correction would reach it."""
    from harness.adapters.transformers.corrected import corrected

    base, extension = "models.t5.modeling_flax_t5", "models.mt5.modeling_flax_mt5"
    monkeypatch.delitem(sys.modules, f"transformers.{extension}", raising=False)
    with corrected({base: [], extension: []}):
        pass
    classes = [import_module(f"transformers.{name}") for name in (base, extension)]
    assert issubclass(classes[1].FlaxMT5Model, classes[0].FlaxT5Model)
