"""Scoring completions beside lm-eval 0.4.13, in one job, on the same file: CPU seconds of one thread."""

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError

pytestmark = pytest.mark.slow

SIDES = Path(__file__).parent / "zero_shot_sides.py"
ROUNDS = 3
SHOTS = 96
"""Examples behind a prefix of four: lm-eval takes 41 CPU seconds for them, as for the whole file without."""

SAME = 2e-4
"""Of a log-likelihood: what float32 sums in another order move."""

PEAK_BYTES = 1.2e9
WINOBIAS, FOUR_SHOT, END_TO_END = 2.1, 8.0, 2.5
"""How many times as quick as lm-eval at its best batch size, 32, it has to be; end to end, with the start of either."""


@pytest.fixture(scope="module")
def python(pytestconfig):
    """The Python of an environment with lm-eval, laid over this one."""
    pytest.importorskip("torch")
    from harness.versions.environments import environment_for

    constraints = pytestconfig.rootpath / "constraints.txt"
    try:
        found = environment_for("lm-eval", "0.4.13", options=("--constraint", str(constraints)))
    except HarnessError as error:
        pytest.skip(f"needs lm-eval 0.4.13, which is not installed: {error}")
    assert not {"torch", "transformers", "numpy"} & set(found.changed), (
        "the two sides would compute with other libraries"
    )
    return found.python


@pytest.fixture(scope="module")
def checkpoint(pytestconfig, tmp_path_factory):
    """SmolLM2-135M-Instruct as both sides load it: safetensors in float32, with its tokenizer."""
    from fixtures.ports.smollm2 import saved
    from harness import find_repository
    from harness.cases.artifacts import fetch, find_artifact

    repository = find_repository(pytestconfig.rootpath)
    weights = fetch(find_artifact(repository, "smollm2-135m-instruct"), root=repository.root)
    return saved(weights, tmp_path_factory.mktemp("smollm2"))


@pytest.fixture(scope="module")
def questions(pytestconfig):
    """The examples of WinoBias type 1, test."""
    if not os.environ.get("HARNESS_DATA"):
        pytest.skip("HARNESS_DATA names no folder with winobias/")
    from harness import find_repository
    from harness.zeroshot.examples import examples_of
    from harness.zeroshot.task import find_tasks

    repository = find_repository(pytestconfig.rootpath)
    (task,) = find_tasks(repository, "winobias-type1-test-anti")
    return examples_of(task, repository)[0]


def written(file, examples, *, prefix=""):
    lines = [
        {"id": each.id, "prompt": prefix + each.prompt, "options": each.options, "target": each.target}
        for each in examples
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def variables(root):
    # Neither side uses Flax; without the variable transformers imports JAX for both.
    quiet = {"USE_FLAX": "0", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {**os.environ, **quiet, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(root)}


def cpu_seconds(command, root):
    """The CPU seconds of a command and its children, the start of Python included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        list(map(str, command)), env=variables(root), cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def beside(python, checkpoint, file, root, folder, *, rounds=ROUNDS):
    """Of each side what it found, round by round, the two in turn."""
    found = {"ours": [], "lm-eval": []}
    for number in range(rounds):
        for side, runs in found.items():
            out = folder / f"{side}-{number}.json"
            interpreter = python if side == "lm-eval" else sys.executable
            cpu_seconds([interpreter, SIDES, side, checkpoint, file, out], root)
            runs.append(json.loads(out.read_text()))
    return found


def farthest(found):
    """The largest difference of a log-likelihood, and how many decisions differ."""
    pairs = list(zip(found["ours"][0]["log_likelihoods"], found["lm-eval"][0]["log_likelihoods"], strict=True))
    off = max(abs(one - other) for pair in pairs for one, other in zip(*pair, strict=True))
    return off, sum(one.index(max(one)) != other.index(max(other)) for one, other in pairs)


def judged(found, count, wanted, title, benchmark):
    median = {side: statistics.median(run["seconds"] for run in runs) for side, runs in found.items()}
    ratio = median["lm-eval"] / median["ours"]
    off, differ = farthest(found)
    peak = {side: max(run["peak_bytes"] for run in runs) for side, runs in found.items()}
    benchmark.extra_info.update({"ratio": ratio, "off": off, "differ": differ, "median": median, "peak_bytes": peak})
    print(f"\n{title}: {count} examples, CPU seconds of one thread, medians of {len(found['ours'])} rounds in turn")  # noqa: T201
    for side, seconds in median.items():
        told = f"{seconds:.2f} s, {count / seconds:.1f} examples/s, at most {peak[side] / 1e9:.2f} GB"
        print(f"  {side:8} {told}, by {found[side][0]['way']}")  # noqa: T201
    print(f"  ratio    {ratio:.2f}; log-likelihoods off by {off:.1e}; {differ} decisions differ")  # noqa: T201
    assert found["ours"][0]["way"] == "tree"
    assert off <= SAME
    assert differ == 0
    assert peak["ours"] <= PEAK_BYTES
    assert ratio >= wanted


def test_winobias(python, checkpoint, questions, pytestconfig, tmp_path, benchmark):
    file = written(tmp_path / "winobias.jsonl", questions)
    arguments = (python, checkpoint, file, pytestconfig.rootpath, tmp_path)
    found = benchmark.pedantic(beside, args=arguments, rounds=1)
    judged(found, len(questions), WINOBIAS, "WinoBias", benchmark)


def test_a_shared_prefix_of_four_shots(python, checkpoint, questions, pytestconfig, tmp_path, benchmark):
    prefix = "".join(f"{each.prompt}{each.options[each.target]}\n\n" for each in questions[-4:])
    file = written(tmp_path / "four.jsonl", questions[:SHOTS], prefix=prefix)
    arguments = (python, checkpoint, file, pytestconfig.rootpath, tmp_path)
    found = benchmark.pedantic(beside, args=arguments, rounds=1)
    judged(found, SHOTS, FOUR_SHOT, "four shots", benchmark)


LM_EVAL_TASK = """
task: winobias_beside
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: prompt
doc_to_choice: options
doc_to_target: target
target_delimiter: ""
metric_list: [{{metric: acc}}]
metadata: {{version: 1}}
"""

TASK = """
title = "WinoBias"
[data]
file = "winobias.jsonl"
[example]
prompt = "prompt"
options = "options"
id = "id"
"""


def test_from_the_command_to_the_accuracy(python, checkpoint, questions, pytestconfig, tmp_path, benchmark):
    """Both commands whole: start, load, read the task, score, write every score."""
    from harness.zeroshot.lm_eval import agreement, read_samples
    from harness.zeroshot.scored import Scored

    file = written(tmp_path / "winobias.jsonl", questions)
    (tmp_path / "ours.toml").write_text(TASK)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/task.yaml").write_text(LM_EVAL_TASK.format(file=file))
    theirs = [python, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    theirs += ["--tasks", "winobias_beside", "--include_path", tmp_path / "theirs", "--batch_size", "32"]
    theirs += ["--device", "cpu", "--log_samples"]
    ours = [sys.executable, SIDES, "task", checkpoint, tmp_path / "ours.toml"]
    root = pytestconfig.rootpath

    def round_of(number):
        return cpu_seconds([*theirs, "--output_path", tmp_path / f"out-{number}"], root), cpu_seconds(
            [*ours, tmp_path / f"ours-{number}.json"], root
        )

    rounds = benchmark.pedantic(lambda: [round_of(number) for number in range(ROUNDS)], rounds=1)
    seconds = [statistics.median(side) for side in zip(*rounds)]
    (results,) = (tmp_path / "out-0").rglob("results_*.json")
    said = json.loads(results.read_text())["results"]["winobias_beside"]["acc,none"]
    found = json.loads((tmp_path / "ours-0.json").read_text())
    ratio = seconds[0] / seconds[1]
    benchmark.extra_info.update({"ratio": ratio, "seconds": seconds, "peak_bytes": found["peak_bytes"]})
    told = f"lm-eval {seconds[0]:.1f} CPU s, ours {seconds[1]:.1f}: {ratio:.2f} times as quick"
    print(f"\nend to end, {len(questions)} examples: {told}, {found['peak_bytes'] / 1e9:.2f} GB")  # noqa: T201
    assert found["accuracy"] == pytest.approx(said, abs=1e-9)
    (samples,) = (tmp_path / "out-0").rglob("samples_*.jsonl")
    together = agreement(read_samples(samples), questions, [Scored.from_dict(each) for each in found["scored"]])
    assert together.same, together
    assert found["peak_bytes"] <= PEAK_BYTES
    assert ratio >= END_TO_END
