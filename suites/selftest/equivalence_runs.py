"""A run of the suite of twins with made-up outcomes, for the tests of its section."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from harness.equivalence.fields import (
    HONOURED,
    IGNORED_BY_PORT,
    IGNORED_BY_REFERENCE,
    NOT_EXERCISED,
    OTHERWISE,
    RAISES,
    REFUSED,
    UNREAD,
)
from harness.equivalence.outcome import Outcome
from harness.files import write_atomic
from harness.parity.compare import Verdict
from suites.selftest.report_runs import result, write_run

CHECKS = (
    "to_flax",
    "from_flax",
    "probes",
    "gradients",
    "train",
    "decode",
    "generate",
    "trip safetensors",
    "trip bfloat16",
)
OFF = (RAISES, IGNORED_BY_PORT, IGNORED_BY_REFERENCE, OTHERWISE)
REMEDY = "Read the field, as the reference does."


def line(folder: Path, outcome: Outcome, *rows: str, **values: Any) -> dict[str, Any]:
    """The line of an outcome, with its file where it has one; `rows`: ids of the register's rows that explain it."""
    files = []
    if outcome.verdict is not Verdict.AGREE:
        register = [
            {
                "id": row,
                "kind": "defect",
                "cause": f"the cause of {row}",
                "where": "transformers/x.py:7",
                "remedy": REMEDY,
            }
            for row in rows
        ]
        files = [f"cases/{len(list(folder.glob('cases/*')))}.json"]
        details = outcome.to_dict() | {"check": outcome.check, "title": outcome.title, "register": register}
        write_atomic(folder / files[0], json.dumps(details))
    return {
        "suite": "equivalence",
        "case": outcome.case,
        "check": outcome.check,
        "title": outcome.title,
        "test": f"suites/equivalence/test_it.py::test_it[{outcome.subject}]",
        "verdict": outcome.verdict.value,
        "registered": list(rows),
        "reason": "; ".join(f"the cause of {row}" for row in rows) or outcome.reason,
        "metrics": outcome.metrics(),
        "seconds": 0.2,
        "files": files,
        "repeat": "pytest 'suites/equivalence'",
        "key": "",
    } | values


def outcome(family: str, reference: str, check: str, error: float = 3e-7, **values: Any) -> Outcome:
    """What a check of twins found: it diverges above 1e-3."""
    verdict = Verdict.AGREE if error < 1e-3 else Verdict.DIVERGE
    made = {"verdict": verdict, "error": error, "scale": 2.0, "compared": 3, "port": f"Flax{reference}"}
    return Outcome(family=family, reference=reference, check=check, **(made | values))


def field(family: str, reference: str, name: str, value: str, standing: str, **values: Any) -> Outcome:
    """What came of a field's value."""
    made = {"error": 0.5 if standing in OFF else 0.0, "standing": standing, "field": name}
    return outcome(family, reference, f"{name}={value}", **(made | values))


def sample(folder: Path) -> Path:
    """A run with a bit of everything, of three families."""
    lines = [
        line(folder, outcome("bert", "BertModel", "to_flax")),
        line(folder, outcome("bert", "BertLMHeadModel", "to_flax", port="FlaxBertForCausalLM")),
        line(folder, outcome("bert", "BertModel", "from_flax")),
        line(folder, outcome("bert", "BertLMHeadModel", "from_flax", float("inf")), "another-name"),
        line(folder, outcome("t5", "T5Model", "to_flax", 0.2, reason="logits: off by 0.2")),
        line(folder, outcome("t5", "T5EncoderModel", "to_flax")),
        line(folder, outcome("t5", "T5Model", "probes"), "mended"),
        line(folder, field("bert", "BertModel", "hidden_act", "relu", HONOURED)),
        line(folder, field("bert", "BertModel", "hidden_act", "gelu_10", RAISES), "missing-activations"),
        line(folder, field("bert", "BertModel", "layer_norm_eps", "0.01", HONOURED)),
        line(folder, field("bert", "BertModel", "use_cache", "False", NOT_EXERCISED)),
        line(folder, field("bert", "BertModel", "num_attention_heads", "5", REFUSED)),
        line(folder, field("bert", "BertModel", "num_attention_heads", "2", HONOURED)),
        line(folder, field("bert", "BertModel", "initializer_range", "0.3", UNREAD)),
        line(folder, field("gpt2", "GPT2Model", "is_decoder", "True", IGNORED_BY_PORT)),
        line(folder, field("gpt2", "GPT2LMHeadModel", "is_decoder", "True", IGNORED_BY_REFERENCE), "causal"),
        line(folder, field("gpt2", "GPT2Model", "n_inner", "48", OTHERWISE), "causal"),
        result("test_twins_agree[t5.T5Model-from_flax]", "inconclusive", suite="equivalence", check="run", metrics={},
               reason="the worker process was killed by SIGKILL"),
    ]  # fmt: skip
    return write_run(folder, *lines)


def large(folder: Path, *, families: int = 40, heads: int = 6, fields: int = 25, off: float = 0.08) -> Path:
    """A run as large as that of the whole library; `off`: the share of what diverges, nearly all of it registered."""
    chance = random.Random(0)
    shared = ("hidden_act", "layer_norm_eps", "is_decoder", "tie_word_embeddings", "use_cache", "num_attention_heads",
              "output_attentions", "output_hidden_states",
              "chunk_size_feed_forward", "add_cross_attention")  # fmt: skip
    activations = ("relu", "gelu_new", "gelu_pytorch_tanh", "silu", "quick_gelu", "mish", "relu6", "laplace")
    lines = []
    for number in range(families):
        family, stem = f"family-{number:02}", f"Model{number:02}"
        for kind in (
            "Model",
            "ForConditionalGeneration",
            "ForSequenceClassification",
            "ForCausalLM",
            "Encoder",
            "Head",
        )[:heads]:
            for check in CHECKS:
                wrong = chance.random() < off
                error = chance.choice((0.03, 4.0, float("inf"))) if wrong else 10 ** chance.uniform(-8, -6)
                rows = (f"cause-{chance.randrange(60):02}",) if wrong and chance.random() < 0.95 else ()
                lines.append(line(folder, outcome(family, f"{stem}{kind}", check, error), *rows))
        for place in range(fields):
            name = shared[place] if place < len(shared) else f"some_setting_number_{place}"
            values = activations if name == "hidden_act" else ("2", "5") if place % 5 == 0 else ("48",)
            for value in values:
                wrong = chance.random() < off * 1.5
                standing = chance.choice(OFF if wrong else (HONOURED,) * 8 + (NOT_EXERCISED, UNREAD, REFUSED))
                rows = (f"cause-{chance.randrange(60):02}",) if wrong and chance.random() < 0.97 else ()
                lines.append(
                    line(folder, field(family, f"{stem}ForConditionalGeneration", name, value, standing), *rows)
                )
    return write_run(folder, *lines)
