"""Small random causal language models in PyTorch, a task for them, and its scores by the definition."""

import numpy as np
import pytest

from harness.zeroshot.example import Example

VOCABULARY = 99
WORDS = ("the", "nurse", "clerk", "thanked", "because", "he", "she", "was", "kind", "late")

TASK = tuple(
    Example(str(number), f"the nurse thanked the {who} because", (f" he was {how}", f" she was {how} he was late"), 0)
    for number, (who, how) in enumerate((who, how) for who in WORDS[:4] for how in WORDS[5:])
)


class Words:
    """A tokenizer whose tokens are words."""

    begin, prefix = 1, (1,)

    def encode(self, texts):
        return [[3 + WORDS.index(word) for word in text.split()] for text in texts]

    def fingerprint(self):
        return "words"


def small(kind, **changed):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    llama = {**shape, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, **changed}
    kinds = {
        "Llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**llama)),
        "GPT2": (
            transformers.GPT2LMHeadModel,
            transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64),
        ),
        "OPT": (
            transformers.OPTForCausalLM,
            transformers.OPTConfig(**shape, ffn_dim=48, max_position_embeddings=64, word_embed_proj_dim=32),
        ),
        "GPTNeoX": (
            transformers.GPTNeoXForCausalLM,
            transformers.GPTNeoXConfig(**shape, intermediate_size=48, max_position_embeddings=64),
        ),
        "Gemma2, with a softcap": (
            transformers.Gemma2ForCausalLM,
            transformers.Gemma2Config(**{**llama, "head_dim": 8, "sliding_window": 5, "final_logit_softcapping": 1.0}),
        ),
        "Bloom, without positions": (
            transformers.BloomForCausalLM,
            transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
        ),
        "GPTNeo": (
            transformers.GPTNeoForCausalLM,
            transformers.GPTNeoConfig(
                vocab_size=VOCABULARY,
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=5,
                max_position_embeddings=64,
            ),
        ),
    }
    made, configuration = kinds[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = made(configuration).eval()
        with torch.no_grad():
            # As they are drawn, all logits are nearly equal, and no fault would show.
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.mul_(8)
    return model


def one_by_one(model, examples):
    """The log-likelihoods from the model's own logits, a text at a time, by the definition."""
    import torch

    found = {}
    for each in examples:
        values = []
        for option in each.options:
            before, after = ([1, *Words().encode([each.prompt])[0]], Words().encode([option])[0])
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([before + after])).logits[0].double()
            logs = torch.log_softmax(logits, dim=-1)
            values.append(sum(float(logs[len(before) - 1 + place, token]) for place, token in enumerate(after)))
        found[each.id] = values
    return found


def farthest(scored, wanted):
    by_id = {each.id: each.log_likelihoods for each in scored}
    assert set(by_id) == set(wanted)
    return max(np.abs(np.subtract(by_id[each], wanted[each])).max() for each in wanted)
