"""SmolLM2-135M-Instruct: the scores of a tree are the model's own, those of lm-eval, and the same in Flax."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.zeroshot.accuracy import accuracy, decide
from harness.zeroshot.way import TOLERANCE

FILES = [f"winobias-{kind}-{split}-anti" for kind in ("type1", "type2") for split in ("dev", "test")]
FRAMEWORKS = 100
"""Examples in Flax, of WinoBias type 1, test."""


@pytest.fixture(scope="module")
def repository(pytestconfig):
    from harness import find_repository

    return find_repository(pytestconfig.rootpath)


@pytest.fixture(scope="module")
def weights(repository):
    """The folder with the checkpoint; where it cannot be had, that fails as for a case."""
    pytest.importorskip("torch")
    from harness.cases.artifacts import fetch, find_artifact

    return fetch(find_artifact(repository, "smollm2-135m-instruct"), root=repository.root)


@pytest.fixture(scope="module")
def model(weights):
    from fixtures.ports.smollm2 import pytorch

    return pytorch(weights)


@pytest.fixture(scope="module")
def tokenizer(weights):
    from fixtures.ports.smollm2 import tokenizer

    return tokenizer(weights)


@pytest.mark.slow
def test_the_copy_that_is_kept_is_what_the_file_holds(weights, model, tokenizer):
    from fixtures.ports.smollm2 import GGUF

    options = {"gguf_file": GGUF, "local_files_only": True}
    direct = type(model).from_pretrained(weights, **options).state_dict()
    kept = model.state_dict()
    assert direct.keys() == kept.keys()
    assert all(array.equal(kept[name]) and array.dtype == kept[name].dtype for name, array in direct.items())
    texts = ["The nurse", " he was kind.", "", "\n\n", "naïve café", "<|im_start|>user\n", "a  b", "1 2,345.6"]
    theirs = type(tokenizer).from_pretrained(weights, **options)
    assert [theirs(text)["input_ids"] for text in texts] == [tokenizer(text)["input_ids"] for text in texts]
    assert theirs.special_tokens_map == tokenizer.special_tokens_map


def task_of(repository, name, *, limit=0):
    from dataclasses import replace

    from harness.zeroshot.task import find_tasks

    if name.startswith("winobias") and not os.environ.get("HARNESS_DATA"):
        pytest.skip("HARNESS_DATA names no folder with winobias/")
    (task,) = find_tasks(repository, name)
    return replace(task, limit=limit)


def same(one, other):
    """The largest difference of a log-likelihood, and how many decisions differ, on the same examples."""
    others = {each.id: each for each in other}
    assert one
    assert {each.id for each in one} == set(others)
    pairs = [(each, others[each.id]) for each in one]
    off = max(abs(a - b) for x, y in pairs for a, b in zip(x.log_likelihoods, y.log_likelihoods, strict=True))
    return off, sum(decide(x) != decide(y) for x, y in pairs)


def test_a_tree_gives_the_model_s_own_scores(zero_shot, model, tokenizer, repository):
    """The embedded task in its small form: by a tree, and a text at a time."""
    from harness.zeroshot.examples import examples_of
    from harness.zeroshot.score import score

    task = task_of(repository, "occupations", limit=24)
    result = zero_shot(model, task, tokenizer=tokenizer)
    assert (result.way, result.examples, result.shapes) == ("tree", 24, 0)
    examples, _ = examples_of(task, repository)
    off, differ = same(result.scored, list(score(model, tokenizer, examples, way="plain", batch=1)))
    assert off <= TOLERANCE
    assert differ == 0


@pytest.mark.slow
def test_padding_batch_and_order_move_no_score(model, tokenizer, repository):
    from harness.zeroshot.examples import examples_of
    from harness.zeroshot.score import score

    examples, _ = examples_of(task_of(repository, "occupations", limit=24), repository)
    wanted = list(score(model, tokenizer, examples, way="plain", batch=1))
    for way in ("tree", "prefix", "plain"):
        for batch, several in ((64, examples), (1024, examples[::-1])):
            off, differ = same(wanted, list(score(model, tokenizer, several, way=way, batch=batch)))
            assert off <= TOLERANCE
            assert differ == 0


@pytest.mark.slow
def test_the_folder_alone_gives_the_same_scores(weights, model, tokenizer, repository, tmp_path):
    """Without transformers."""
    from fixtures.ports.smollm2 import saved
    from harness.zeroshot.examples import examples_of
    from harness.zeroshot.score import plan, run

    folder = saved(weights, tmp_path)
    examples, _ = examples_of(task_of(repository, "occupations"), repository)
    ours = plan(folder, folder, examples)
    assert ours.model.describe() == "PyTorch LeanLlama"
    off, differ = same(list(run(ours)), list(run(plan(model, tokenizer, examples, way="plain"))))
    assert off <= TOLERANCE
    assert differ == 0


@pytest.mark.slow
def test_the_folder_alone_gives_the_same_tokens(weights, tokenizer, tmp_path):
    """Without transformers' tokenizers: on every text that the tasks have."""
    from fixtures.ports.smollm2 import tokenizer as load
    from harness.adapters.tokenizer import tokenizer_of

    load(weights).save_pretrained(tmp_path)
    folder, whole = tokenizer_of(tmp_path), tokenizer_of(tokenizer)
    texts = ["The nurse", " he was kind.", "", "\n\n", "naïve café", "<|im_start|>user\n", "a  b", "1 2,345.6"]
    assert folder.encode(texts) == whole.encode(texts)
    assert (folder.begin, folder.prefix) == (whole.begin, whole.prefix)


@pytest.fixture(scope="module")
def lm_eval(weights, repository, tmp_path_factory):
    """A function from examples to lm-eval's log-likelihoods, in an environment of its own."""
    from fixtures.ports.smollm2 import saved
    from harness.versions.environments import environment_for

    try:
        options = ("--constraint", str(repository.root / "constraints.txt"))
        environment = environment_for("lm-eval", "0.4.13", options=options)
    except HarnessError as error:
        pytest.skip(f"needs lm-eval 0.4.13, which is not installed: {error}")
    folder = tmp_path_factory.mktemp("lm-eval")
    checkpoint = saved(weights, folder / "checkpoint")
    script = Path(__file__).parents[1] / "benchmarks/zero_shot_sides.py"

    def scores(examples):
        lines = [
            {"id": each.id, "prompt": each.prompt, "options": each.options, "target": each.target} for each in examples
        ]
        (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        command = [environment.python, script, "lm-eval", checkpoint, folder / "questions.jsonl", folder / "out.json"]
        subprocess.run(list(map(str, command)), cwd=repository.root, check=True, capture_output=True)
        return json.loads((folder / "out.json").read_text())["log_likelihoods"]

    return scores


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_accuracy_and_scores_are_those_of_lm_eval(zero_shot, model, tokenizer, repository, lm_eval, name):
    from dataclasses import replace

    from harness.zeroshot.examples import examples_of
    from harness.zeroshot.outcome import Outcome

    task = task_of(repository, name)
    examples, _ = examples_of(task, repository)
    result = zero_shot(model, task, tokenizer=tokenizer)
    theirs = lm_eval(examples)
    pairs = zip(result.scored, theirs, strict=True)
    other = [replace(each, log_likelihoods=tuple(values)) for each, values in pairs]
    off, differ = same(result.scored, other)
    reason = f"{differ} decisions differ" if differ else ""
    zero_shot.claim(Outcome(task.name, result.model, "lm-eval", off, TOLERANCE, len(other), reason))
    assert result.accuracy == accuracy(other).accuracy


@pytest.mark.slow
def test_flax_decides_as_pytorch_does(zero_shot, model, tokenizer, repository):
    """The shipped Flax class is faulty; the repaired one is held to the scores of PyTorch."""
    pytest.importorskip("jax")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxLlamaForCausalLM"):
        pytest.skip("this transformers has no Flax models: install transformers<5")
    from fixtures.ports.smollm2_flax import repaired
    from harness.zeroshot.outcome import Outcome

    task = task_of(repository, FILES[1], limit=FRAMEWORKS)
    one = zero_shot(model, task, tokenizer=tokenizer)
    other = zero_shot(repaired(model), task, tokenizer=tokenizer)
    off, differ = same(one.scored, other.scored)
    reason = f"{differ} decisions differ" if differ else ""
    zero_shot.claim(Outcome(task.name, other.model, "frameworks", off, TOLERANCE, other.examples, reason))
    assert other.way == "plain"
    assert other.shapes <= 4, "a shape costs seconds of compilation"
