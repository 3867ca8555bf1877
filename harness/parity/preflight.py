"""Before the numbers: whether both sides hold the same weights, and say the same of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Holds, State
from harness.cases.probes import Probe
from harness.parity.compare import Verdict
from harness.parity.healthy import healthy
from harness.parity.judge import Line, Mask, Pair, judge, valid_part
from harness.parity.study import Study
from harness.parity.weights import Pairing

SHORT = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def half_precision_lines(sides: Sequence[Any]) -> Iterator[Line]:
    """A line for each side that holds weights in half precision: what is compared then is no float32 any more."""
    for side, who in zip(sides, ("reference", "port"), strict=True):
        weights = side.weights() if isinstance(side, Holds) else {}
        short = {name: weight.stored_as for name, weight in weights.items() if weight.stored_as in SHORT}
        if short:
            name, kind = next(iter(short.items()))
            reason = f"the {who} holds {len(short)} weights in half precision ({name} in {kind}): load it in float32"
            yield Line("preflight", "weights in float32", Verdict.INCONCLUSIVE, reason, compared=len(short))


def notes_on(reference: Holds, port: Holds, pairing: Pairing) -> Iterator[str]:
    """What a person should know of the weights and configurations; none of it is a fault by itself."""
    ours, theirs = reference.weights(), port.weights()
    for name, target in pairing.different:
        apart = float(np.max(np.abs(ours[name].array.astype(float) - theirs[target].array.astype(float))))
        yield f"{name} differs from the port's {target} by {apart:.3g}"
    for link in pairing.proposed:
        yield f"proposed, and not used: {link.reference} is the port's {link.port} ({link.why})"
    for name in pairing.ambiguous:
        yield f"{name} is symmetric: its values do not say whether the port has it transposed"
    yield from _settings(reference.settings(), port.settings())


SAID = (
    "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "hidden_act", "activation_function", "hidden_dropout_prob",
    "attention_probs_dropout_prob", "attention_dropout", "dropout_rate", "resid_pdrop", "embd_pdrop", "attn_pdrop",
    "rope_theta", "rope_scaling", "tie_word_embeddings", "sliding_window", "num_key_value_heads", "hidden_size",
    "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "max_position_embeddings",
    "position_embedding_type", "scale_embedding", "pad_token_id", "is_decoder", "relative_attention_num_buckets",
    "relative_attention_max_distance", "attn_implementation",
)  # fmt: skip
"""Settings that change what a model computes, as transformers calls them."""


def _settings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    if not ours or not theirs:
        return
    for key in SAID:
        if key in ours and key in theirs and ours[key] != theirs[key]:
            yield f"configuration: {key} is {ours[key]!r} in the reference, {theirs[key]!r} in the port"


def summary(pairing: Pairing) -> dict[str, Any]:
    """The weight audit as plain values."""
    return {
        "linked": len(pairing.certain),
        "proposed": [f"{link.reference} = {link.port}" for link in pairing.proposed],
        "only_reference": list(pairing.only_reference),
        "only_port": list(pairing.only_port),
        "different": [f"{name} != {target}" for name, target in pairing.different],
        "ambiguous": list(pairing.ambiguous),
    }


def missing_line(
    found: Study, probes: Sequence[Probe], masks_of: Callable[[Mapping[str, Any]], Mask], *, seed: int
) -> Iterator[Line]:
    """A line if the port has no counterpart for weights that the reference's outputs depend on.

    A weight that is neutral now (a bias of zeros) hides that. Where all of the port's parameters are linked, but for
    those that nothing depends on, none is left on its side that could hold the missing one in another form.
    """
    reference, port = found.sides
    if not (isinstance(reference, Holds) and isinstance(port, Holds)):
        return
    theirs = port.weights()
    held = [name for name in found.pairing.only_port if name not in found.pairing.idle]
    if any(theirs[name].trained for name in held) or found.pairing.proposed:
        return
    ours = reference.weights()
    left = frozenset(name for name in found.pairing.only_reference if ours[name].trained)
    changed = healthy(ours, left, seed=seed + 1)
    if not changed:
        return
    state = found.states()[0]
    for probe in probes:
        masks = masks_of(probe.inputs)
        before = reference.run_wide(probe.inputs, state=state)
        after = reference.run_wide(probe.inputs, state=State({**state.values, **changed}))
        pairs = [
            Pair(name, valid_part(name, after.outputs[name], masks), valid_part(name, before.outputs[name], masks))
            for name, _ in found.names
        ]
        line = judge("weights", "all of the reference's weights", pairs)
        if line.verdict is not Verdict.AGREE:
            some = ", ".join(sorted(changed)[:3])
            reason = f"the port has no counterpart of {some}: its outputs move by {line.error:.3g} where that changes"
            yield replace(line, verdict=Verdict.DIVERGE, reason=reason)
            return
