"""Run folders with planted results, for the tests of the report."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from harness.files import append_line, write_atomic

HOSTILE = "<script>alert(1)</script>|`x`*\"'&\x1b[31m\u202e"
LONG = "model.decoder.layers." + "very_long_module_name.a_name_that_goes_on_" * 12 + "end"

ENVIRONMENT = {
    "python": "3.11.9",
    "platform": "Linux-6.1-x86_64-with-glibc2.36",
    "processor": "A processor with a rather long name @ 2.60GHz",
    "cores": 8,
    "memory_bytes": 33_500_000_000,
    "packages": {"numpy": "2.4.1", "torch": "2.13.0", "transformers": "4.57.6", "jax": "0.9.2", "flax": "0.12.6"},
    "variables": {"OMP_WAIT_POLICY": "PASSIVE", "JAX_PLATFORMS": "cpu"},
}


def result(case: str, verdict: str = "agree", **values: Any) -> dict[str, Any]:
    """A line of results.jsonl."""
    line = {
        "suite": "parity",
        "case": case,
        "check": "forward",
        "title": case,
        "test": f"suites/parity/test_real.py::test_port[{case}]",
        "verdict": verdict,
        "registered": [],
        "reason": "",
        "metrics": {"error": 3.1e-05, "scale": 12.5},
        "seconds": 1.25,
        "files": [],
        "repeat": f"harness check {case}",
        "key": "0" * 64,
    }
    return line | values


def write_run(
    folder: Path, *results: dict[str, Any], ended: bool = True, more: tuple[dict[str, Any], ...] = (), total: int = 0
) -> Path:
    """A run folder with these results; `more` events come before the last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").touch()
    run = {"id": "20250314T090000", "started": "2025-03-14T09:00:00+00:00", "profile": "quick"}
    run["command"] = "harness run --profile quick --report-dir reports/quick"
    events: list[dict[str, Any]] = [{"event": "run", "run": run, "environment": ENVIRONMENT}]
    events.append({"event": "collected", "total": total or len(results)})
    append_line(folder / "results.jsonl", *results)
    for line in results:
        outcome = "passed" if line["verdict"] == "agree" else "failed"
        if line["registered"]:
            outcome = "xfailed"
        events.append({"event": "started", "test": line["test"], "time": "2025-03-14T09:00:05+00:00"})
        events.append({"event": "finished", "test": line["test"], "outcome": outcome, "seconds": line["seconds"]})
    events += more
    if ended:
        events.append({"event": "ended", "exit_status": 0, "finished": "2025-03-14T09:01:15+00:00"})
    append_line(folder / "events.jsonl", *events)
    return folder


def row(name: str, error: float, scale: float, *, tolerance: float = 1e-3, not_finite: int = 0) -> dict[str, Any]:
    """A pair, as `Difference.to_dict` writes it."""
    outside = 0 if error <= tolerance else min(9216, int(min(error / tolerance, 1e6)))
    verdict = "diverge" if outside or not_finite else "agree"
    return {
        "name": name,
        "port_name": name.replace("encoder.layer.", "encoder.layer_"),
        "shape": [2, 12, 384],
        "port_shape": [2, 12, 384],
        "error": error if math.isfinite(error) else str(error),
        "rms": error / 7,
        "scale": scale,
        "relative": error / scale,
        "outside": outside,
        "compared": 9216 - not_finite,
        "skipped": 0,
        "not_finite": not_finite,
        "both_nan": 0,
        "worst": {"index": [1, 7, 303], "reference": scale, "port": "nan" if not_finite else scale - error},
        "verdict": verdict,
        "reason": f"{not_finite} elements are NaN or infinite on one side only" if not_finite else "",
    }


def write_detail(folder: Path, line: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Write the case's file of a result; the result that names it."""
    name = f"cases/{len(list(folder.glob('cases/*')))}.forward.json"
    document = {
        "schema": 1,
        "case": line["case"],
        "check": line["check"],
        "title": line["title"],
        "verdict": line["verdict"],
        "reason": line["reason"],
        "text": "",
        "repeat": line["repeat"],
        "reference": "PyTorch BertModel",
        "port": "Flax FlaxBertModel",
        "device": "cpu",
        "precision": "highest",
        "tolerance": {"atol": 1e-3, "rtol": 0.0, "reason": ""},
        "coverage": 0.97,
        "unmatched": [],
        "excused": {},
        "seconds": {"build": 2.31, "reference": 0.42, "port": 1.93, "compare": 0.08},
        "outputs": [],
        "taps": [],
        "first": None,
    }
    write_atomic(folder / name, json.dumps(document | values))
    return line | {"files": [name]}


def taps(layers: int, names: tuple[str, ...], *, start: float, end: float, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of taps, layer by layer, whose errors grow from `start` to `end`."""
    noise = random.Random(seed)
    total = layers * len(names)
    rows = []
    for place in range(total):
        layer, part = divmod(place, len(names))
        size = math.exp(math.log(start) + (math.log(end) - math.log(start)) * place / max(1, total - 1))
        error = size * noise.uniform(0.35, 1.0) * (0.4 if part == 1 else 1.0)
        rows.append(row(f"encoder.layer.{layer}.{names[part]}", error, 8 * noise.uniform(0.3, 1.4) * (1 + layer / 6)))
    return rows


def claim(check: str, probe: str, verdict: str = "agree", **values: Any) -> dict[str, Any]:
    """A further claim, as `Line.to_dict` writes it."""
    line = {
        "check": check,
        "probe": probe,
        "verdict": verdict,
        "reason": "",
        "error": 2e-15,
        "scale": 2.0,
        "allowed": 2e-9,
        "where": "logits",
        "compared": 1,
        "seconds": 0.1,
        "pairs": [],
    }
    return line | values


def weights(**names: Any) -> dict[str, Any]:
    """The weight audit, as `preflight.summary` writes it."""
    kinds = ("proposed", "only_reference", "only_port", "different", "ambiguous")
    return {"linked": 103, **{kind: [] for kind in kinds}} | names


def hostile_further() -> dict[str, Any]:
    """The further keys of a case's file with hostile text wherever text can be."""
    pairs = [[f"{HOSTILE}.{i}", 1e-4, 1.0] for i in range(20)]
    return {
        "lines": [
            claim(HOSTILE, HOSTILE, HOSTILE, reason=HOSTILE, where=HOSTILE),
            claim("forward", HOSTILE, "diverge", reason=HOSTILE, where=HOSTILE),
            claim("gradients", HOSTILE, "diverge", reason=HOSTILE, where=HOSTILE, pairs=pairs),
        ],
        "notes": [HOSTILE] * 20,
        "weights": weights(**{kind: [HOSTILE, LONG] for kind in ("proposed", "only_reference", "different")}),
        "probes_not_taken": {HOSTILE: HOSTILE, LONG: LONG},
        "not_checked": {HOSTILE: HOSTILE},
        "islands": [HOSTILE],
    }


def sample(folder: Path) -> Path:
    """A run with a bit of everything: what a page has to show well."""
    bert_parts = ("attention.self", "attention.output.dense", "attention.output.LayerNorm", "intermediate", "output")
    llama_parts = ("input_layernorm", "self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
    bert = write_detail(
        folder,
        result("minilm-bert-flax", title="all-MiniLM-L6-v2: PyTorch BERT against Flax BERT", seconds=4.74),
        taps=[row("embeddings", 0.0, 3.1), *taps(6, bert_parts, start=4e-7, end=2.2e-5)],
        outputs=[row("last_hidden_state", 3.1e-05, 4.4), row("pooler_output", 2.4e-06, 0.98)],
        excused={"reference: embeddings.token_type_ids": "a buffer of PyTorch, which Flax makes when called"},
        lines=[claim("forward", "as given"), claim("gradients", "padded right", pairs=[["pooler.weight", 1e-15, 2.0]])],
        weights=weights(),
        not_checked={"decode": "the model returned no cache"},
    )
    diverging = taps(30, llama_parts, start=2e-6, end=4e-5, seed=1)
    broken = [
        row(pair["name"], pair["error"] * (1 if i < 11 else 3e4 * 1.06 ** (i - 11)), pair["scale"] * 1.03**i)
        for i, pair in enumerate(diverging)
    ]
    llama = write_detail(
        folder,
        result(
            "smollm2-llama-flax",
            "diverge",
            title="SmolLM2-135M-Instruct: PyTorch Llama against Flax Llama",
            registered=["flax-llama-rope-theta", "flax-llama-grouped-heads"],
            reason="The port reads no rope_theta and turns by 10000 where the checkpoint says 100000.",
            metrics={"error": 33.0, "scale": 41.2, "outside": 812_440, "compared": 1_179_648},
            seconds=31.2,
        ),
        reference="PyTorch LlamaForCausalLM",
        port="Flax FlaxLlamaForCausalLM",
        text="smollm2-llama-flax diverges: logits are off by 33 (at most 0.001)\n\n  first: encoder.layer.2.self_attn",
        taps=broken,
        outputs=[row("logits", 33.0, 41.2)],
        first="encoder.layer.2.self_attn.q_proj",
        unmatched=["port: model.rotary_emb.inv_freq", "reference: lm_head.bias"],
    )
    mended = write_detail(
        folder,
        result(
            "smollm2-llama-repaired",
            title="SmolLM2-135M-Instruct: the repaired Flax Llama",
            metrics={"error": 7.2e-05, "scale": 41.2},
            seconds=28.4,
        ),
        taps=diverging,
        outputs=[row("logits", 7.2e-05, 41.2)],
    )
    broken_text = (
        "whisper-flax diverges: last_hidden_state\n\n"
        "  12 elements are NaN on one side only\n"
        "  first outside the tolerance: encoder.layer.3.output (tap 19 of 30)\n"
        "  worst element [1, 7, 303]: 0.5 in the reference, nan in the port\n"
    )
    nan_taps = taps(6, bert_parts, start=3e-7, end=9e-6, seed=3)
    nan_taps[19:] = [row(pair["name"], pair["error"], pair["scale"], not_finite=12) for pair in nan_taps[19:]]
    nan = write_detail(
        folder,
        result(
            "whisper-flax",
            "diverge",
            title="Whisper tiny.en: PyTorch against Flax",
            reason="12 elements are NaN or infinite on one side only",
            metrics={"error": "nan", "scale": 2.0, "outside": 12, "compared": 18_420},
        ),
        taps=nan_taps,
        outputs=[row("last_hidden_state", 8e-6, 0.5, not_finite=12), row("encoder_states", 4e-6, 0.8)],
        text=broken_text,
        first=nan_taps[19]["name"],
    )
    lost = result(
        "t5-flax", "inconclusive", reason="the worker process was killed by SIGKILL (as the system does when "
        "memory runs out)", metrics={}, seconds=61.0, title="T5 small: PyTorch against Flax",
    )  # fmt: skip
    hostile = write_detail(
        folder,
        result(HOSTILE, "within_tolerance", title=HOSTILE, reason=HOSTILE, repeat=f"harness check '{HOSTILE}'"),
        taps=[row(f"{HOSTILE}.{i}", 1e-4 * (i + 1), 3.0) for i in range(6)] + [row(LONG, 0.0, 3.0)],
        outputs=[row(LONG, 8e-4, 3.0)],
        text=f"{HOSTILE}\n```\n{HOSTILE}",
        unmatched=[f"port: {HOSTILE}"],
        excused={f"reference: {HOSTILE}": HOSTILE},
        **hostile_further(),
    )
    skipped = [
        {"event": "not_run", "test": f"suites/parity/test_gpu.py::test_gpu[{i}]", "reason": "needs a GPU"}
        for i in range(2)
    ]
    data = {"event": "not_run", "test": "suites/zero_shot/test_bias.py::test_bias", "reason": "HARNESS_DATA is not set"}
    return write_run(folder, bert, llama, mended, nan, lost, hostile, more=(*skipped, data), total=9)
