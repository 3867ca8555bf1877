"""Sentences are as alike, masks filled and texts gone on with alike in PyTorch, in Flax and as in 2019."""

import numpy as np
import pytest

from harness.end_to_end.outcome import Step, of_answers, of_arrays
from harness.end_to_end.similarity import ranking
from harness.parity.compare import Verdict
from harness.register import read_register

MINILM, SMOLLM2 = "all-minilm-l6-v2", "smollm2-135m-instruct"
PYTORCH = "PyTorch BertModel"
SIDES = {"flax": (PYTORCH, "FlaxBertModel"), "2019": ("pytorch-pretrained-bert 0.6.2", PYTORCH)}


@pytest.fixture(autouse=True)
def _needs():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def weights(artifact):
    return artifact(MINILM)


@pytest.fixture(scope="module")
def pytorch(weights):
    from fixtures.ports.minilm import pytorch

    return pytorch(weights)


def flax_or_2019(side, *, in_flax, of_2019):
    """What builds that side, if its packages are here."""
    if side == "2019":
        pytest.importorskip(
            "pytorch_pretrained_bert", reason="needs pytorch-pretrained-bert 0.6.2, which is not installed"
        )
        return of_2019()
    pytest.importorskip("flax")
    pytest.importorskip(
        "transformers.modeling_flax_utils", reason="needs transformers below 5, the last with Flax models"
    )
    return in_flax()


@pytest.fixture(scope="module", params=SIDES)
def encoders(request, pytorch, weights):
    """The name of the pair, reference and port."""

    def in_flax():
        from fixtures.ports.minilm import flax

        return pytorch, flax(weights)

    def of_2019():
        from fixtures.originals.bert import minilm

        return minilm(weights), pytorch

    return request.param, *flax_or_2019(request.param, in_flax=in_flax, of_2019=of_2019)


@pytest.fixture(scope="module", params=SIDES)
def fillers(request, weights):
    """The name of the pair, reference and port, with the head of `fixtures.end_to_end.minilm`."""
    from fixtures.end_to_end.minilm import filler, filler_in_flax, filler_of_2019

    made = filler(weights)
    return request.param, *flax_or_2019(
        request.param, in_flax=lambda: (made, filler_in_flax(made)), of_2019=lambda: (filler_of_2019(made), made)
    )


def step(pair, check, texts, *, head=""):
    ours, theirs = (f"{name}{head}" for name in SIDES[pair])
    return Step(f"minilm-{pair}", check, f"all-MiniLM-L6-v2: {theirs} against {ours}", ours, theirs, " | ".join(texts))


def test_sentences_are_as_alike(encoders, weights, answers):
    """The vectors, every cosine between them, and for each sentence which of the others are nearest."""
    from fixtures.end_to_end.minilm import batch, embedded
    from fixtures.end_to_end.samples import texts

    pair, reference, port = encoders
    given = texts("sentences")
    inputs = batch(weights, given)
    vectors = embedded(reference, inputs), embedded(port, inputs), embedded(reference, inputs, wide=True)
    cosines = [each @ each.T for each in vectors]
    nearest = [ranking(each) for each in cosines[:2]]
    told = tuple(f"the nearest of each: {[row[0] for row in each]}" for each in nearest)
    answers.all(
        [
            of_arrays(step(pair, "vectors", given), *vectors),
            of_arrays(step(pair, "cosines", given), *cosines, answers=told),
            of_answers(step(pair, "nearest", given), *nearest),
        ]
    )
    # The sentences stand in pairs that mean about the same, but for the last two.
    assert [row[0] for row in nearest[0]][:6] == [1, 0, 3, 2, 5, 4]


def test_masks_are_filled_alike(fillers, weights, answers):
    from fixtures.end_to_end.minilm import batch, masks, scores, words
    from fixtures.end_to_end.samples import texts

    pair, reference, port = fillers
    given = texts("masked")
    inputs = batch(weights, given)
    where = masks(weights, inputs)
    assert where.sum() == sum(text.count("[MASK]") for text in given)
    found = scores(reference, inputs, where), scores(port, inputs, where)
    wide = scores(reference, inputs, where, wide=True)
    best = [words(weights, each) for each in found]
    head = " with a head made of its embeddings"
    answers.all(
        [
            of_arrays(step(pair, "scores", given, head=head), *found, wide),
            of_answers(step(pair, "words", given, head=head), *best),
        ]
    )


def test_padding_that_counts_is_caught(encoders, weights):
    from fixtures.end_to_end.minilm import batch, embedded
    from fixtures.end_to_end.samples import texts

    pair, reference, port = encoders
    inputs = batch(weights, texts("sentences"))
    right, wide = embedded(reference, inputs), embedded(reference, inputs, wide=True)
    for fault in ({"counts_padding": True}, {"normalised": False}, {"first": True}):
        outcome = of_arrays(step(pair, "vectors", []), right, embedded(port, inputs, **fault), wide)
        assert outcome.verdict is Verdict.DIVERGE, fault
    unseen = inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])}
    others = embedded(port, unseen) @ embedded(port, unseen).T
    assert ranking(others) != ranking(right @ right.T)


def test_a_token_type_off_is_caught(encoders, weights):
    from fixtures.end_to_end.minilm import batch, embedded
    from fixtures.end_to_end.samples import texts

    pair, reference, port = encoders
    inputs = batch(weights, texts("sentences"))
    off = inputs | {"token_type_ids": inputs["token_type_ids"].copy()}
    off["token_type_ids"][3, 1] = 1
    right, wide = embedded(reference, inputs), embedded(reference, inputs, wide=True)
    assert of_arrays(step(pair, "vectors", []), right, embedded(port, off), wide).verdict is Verdict.DIVERGE


def test_a_bias_of_the_head_is_caught(fillers, weights):
    from fixtures.end_to_end.minilm import batch, masks, scores, words
    from fixtures.end_to_end.samples import texts

    pair, reference, port = fillers
    inputs = batch(weights, texts("masked"))
    where = masks(weights, inputs)
    right, wide = scores(reference, inputs, where), scores(reference, inputs, where, wide=True)
    off = scores(port, inputs, where)
    off[:, np.argsort(off[0])[-2]] += 1e-3
    assert of_arrays(step(pair, "scores", []), right, off, wide).verdict is Verdict.DIVERGE
    off[:, np.argsort(off[0])[-3]] += 1.0
    assert of_answers(step(pair, "words", []), words(weights, right), words(weights, off)).verdict is Verdict.DIVERGE


@pytest.fixture(scope="module")
def writer(artifact):
    """SmolLM2 in PyTorch."""
    from fixtures.ports.smollm2 import pytorch

    return pytorch(artifact(SMOLLM2))


def going_on(port, called, check, texts):
    title = f"SmolLM2-135M-Instruct: {called} against LlamaForCausalLM"
    return Step(f"smollm2-{port}", check, title, "PyTorch LlamaForCausalLM", called, " | ".join(texts))


def test_the_subject_of_every_row_is_claimed(repository):
    (row,) = (row for row in read_register(repository.register) if "test_text" in row.proof)
    assert row.subjects == tuple(f"{going_on('shipped', '', check, []).sample}.{check}" for check in ("tokens", "text"))


@pytest.mark.slow
@pytest.mark.parametrize("port", ["repaired", "shipped"])
def test_texts_are_gone_on_with_alike(port, writer, artifact, answers):
    """Greedily, four texts of unlike length at once, padded on the left."""
    pytest.importorskip("flax")
    pytest.importorskip(
        "transformers.modeling_flax_utils", reason="needs transformers below 5, the last with Flax models"
    )
    from fixtures.end_to_end.samples import texts
    from fixtures.end_to_end.smollm2 import batch, read, written
    from fixtures.ports import smollm2_flax

    weights, given = artifact(SMOLLM2), texts("prompts")
    inputs = batch(weights, given)
    ours = written(writer, inputs)
    theirs = written(getattr(smollm2_flax, port)(writer), inputs)
    called = f"FlaxLlamaForCausalLM, {port}"
    answers.all(
        [
            of_answers(going_on(port, called, "tokens", given), np.ravel(ours).tolist(), np.ravel(theirs).tolist()),
            of_answers(going_on(port, called, "text", given), read(weights, ours), read(weights, theirs)),
        ]
    )


@pytest.mark.slow
def test_padding_on_the_left_changes_nothing(writer, artifact, answers):
    """Each text by itself, where there is no padding, and all of them at once."""
    from fixtures.end_to_end.samples import texts
    from fixtures.end_to_end.smollm2 import batch, written

    weights, given = artifact(SMOLLM2), texts("prompts")
    alone = [written(writer, batch(weights, [text]))[0] for text in given]
    what = going_on("padded", "LlamaForCausalLM, padded", "tokens", given)
    answers(of_answers(what, np.ravel(alone).tolist(), np.ravel(written(writer, batch(weights, given))).tolist()))


@pytest.mark.slow
def test_a_mask_that_sees_the_padding_is_caught(writer, artifact):
    from fixtures.end_to_end.samples import texts
    from fixtures.end_to_end.smollm2 import batch, written

    inputs = batch(artifact(SMOLLM2), texts("prompts"))
    unseen = inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])}
    what = going_on("planted", "LlamaForCausalLM", "tokens", [])
    assert of_answers(what, written(writer, inputs), written(writer, unseen)).verdict is Verdict.DIVERGE
