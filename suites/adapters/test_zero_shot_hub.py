"""Data sets from the Hub, and results proposed to it, each against the stand-in on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness.adapters.hub import TOKEN, Hub, Repository

CARD = b"""---
license: mit
model-index:
- name: tiny
  results:
  - task:
      type: text-generation
    dataset:
      name: Another
      type: another
    metrics:
    - type: perplexity
      value: 12.5
---

# Tiny

A model.
"""

READ = """
from pathlib import Path
from harness.settings import find_repository
from harness.zeroshot.task import read_task
from harness.zeroshot.examples import examples_of
task = read_task(Path("task.toml"))
examples, left = examples_of(task, find_repository(Path.cwd()))
print([(each.prompt, each.options, each.target) for each in examples])
"""

PUBLISH = """
import sys
from pathlib import Path
from harness.zeroshot.accuracy import accuracy
from harness.zeroshot.publish import publish
from harness.zeroshot.scored import Scored
from harness.zeroshot.task import read_task
right = int(sys.argv[1])
scored = [Scored(str(n), 0, (-1.0, -2.0) if n < right else (-2.0, -1.0), (1, 1), (1, 1), (1, 1)) for n in range(10)]
made = publish("owner/tiny", [(read_task(Path("task.toml")), accuracy(scored))], really=sys.argv[2] == "really")
print(made.difference)
print(made.url)
"""


@pytest.fixture
def hub(tmp_path: Path):
    with Hub() as made:
        yield made


def run(code: str, hub: Hub, folder: Path, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """The code in a process of its own, since the client reads the Hub's address when it is imported."""
    variables = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": "",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def held(hub: Hub, name: str, **files: bytes) -> Repository:
    made = Repository()
    made.commit({key.replace("_", "."): content for key, content in files.items()})
    hub.repositories[name] = made
    return made


def task_file(folder: Path, data: str) -> None:
    (folder / "task.toml").write_text(f'title = "Colours"\n[data]\n{data}', encoding="utf-8")


@pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets 3, which is not installed")
class TestDataSets:
    ROWS = b'{"text": "The sky is", "classes": [" green", " blue"], "target": 1}\n'

    def test_the_layout_of_the_hub_works_as_it_is(self, hub: Hub, tmp_path: Path) -> None:
        held(hub, "datasets/owner/colours", test_jsonl=self.ROWS)
        task_file(tmp_path, 'hub = "owner/colours"\nsplit = "test"\n')
        done = run(READ, hub, tmp_path)
        assert done.stdout == "[('The sky is', (' green', ' blue'), 1)]\n", done.stderr

    def test_a_revision_is_the_one_that_is_read(self, hub: Hub, tmp_path: Path) -> None:
        made = held(hub, "datasets/owner/colours", test_jsonl=self.ROWS)
        pinned = made.commits[0][0]
        made.commit({"test.jsonl": self.ROWS.replace(b"sky", b"sea")})
        task_file(tmp_path, f'hub = "owner/colours"\nsplit = "test"\nrevision = "{pinned}"\n')
        assert "The sky is" in run(READ, hub, tmp_path).stdout

    @pytest.mark.parametrize(
        "data", ['hub = "owner/none"\nsplit = "test"\n', 'hub = "owner/colours"\nsplit = "tset"\n']
    )
    def test_what_is_not_there_is_told_with_its_line(self, data: str, hub: Hub, tmp_path: Path) -> None:
        held(hub, "datasets/owner/colours", test_jsonl=self.ROWS)
        task_file(tmp_path, data)
        told = run(READ, hub, tmp_path).stderr.splitlines()[-1]
        assert "task.toml:3: the data set 'owner/" in told
        assert "could not be had" in told


@pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="needs huggingface_hub 0.30, which is not installed")
class TestPublishing:
    def written(self, hub: Hub) -> list[str]:
        return [asked for asked in hub.asked if not asked.startswith(("GET", "HEAD"))]

    def ready(self, hub: Hub, folder: Path, **files: bytes) -> Repository:
        task_file(folder, 'file = "rows.jsonl"\n')
        return held(hub, "owner/tiny", **files)

    def test_by_default_nothing_is_written_and_the_change_is_shown(self, hub: Hub, tmp_path: Path) -> None:
        made = self.ready(hub, tmp_path, README_md=CARD)
        done = run(PUBLISH, hub, tmp_path, "6", "dry")
        assert "+      value: 0.6" in done.stdout, done.stderr
        assert "+      name: Accuracy, sum of log-likelihoods" in done.stdout
        removed = [line for line in done.stdout.splitlines() if line.startswith("-") and not line.startswith("---")]
        assert removed == []
        assert self.written(hub) == []
        assert (made.proposed, len(made.commits)) == ([], 1)

    def test_a_pull_request_is_opened_and_the_card_itself_stays(self, hub: Hub, tmp_path: Path) -> None:
        made = self.ready(hub, tmp_path, README_md=CARD)
        done = run(PUBLISH, hub, tmp_path, "6", "really")
        assert done.stdout.splitlines()[-1] == f"{hub.endpoint}/owner/tiny/discussions/1", done.stderr
        assert len(made.commits) == 1
        (files,) = made.proposed
        metadata = model_index(files["README.md"])
        assert [each["dataset"]["type"] for each in metadata["results"]] == ["another", "task"]
        (metric,) = metadata["results"][1]["metrics"]
        assert (metric["type"], metric["value"]) == ("accuracy", 0.6)
        assert metric["args"]["examples"] == 10
        assert metric["args"]["wilson_95"] == [0.312674, 0.831820]
        assert files["README.md"].endswith(b"# Tiny\n\nA model.\n")

    def test_a_newer_result_takes_the_place_of_the_older(self, hub: Hub, tmp_path: Path) -> None:
        made = self.ready(hub, tmp_path, README_md=CARD)
        run(PUBLISH, hub, tmp_path, "6", "really")
        made.commit(made.proposed[0])
        again = run(PUBLISH, hub, tmp_path, "6", "dry")
        assert "its card says all this already" in again.stderr
        run(PUBLISH, hub, tmp_path, "7", "really")
        results = model_index(made.proposed[1]["README.md"])["results"]
        assert [each["metrics"][0]["value"] for each in results] == [12.5, 0.7]

    def test_a_model_without_a_card_gets_one(self, hub: Hub, tmp_path: Path) -> None:
        made = self.ready(hub, tmp_path, config_json=b"{}")
        done = run(PUBLISH, hub, tmp_path, "6", "really")
        assert model_index(made.proposed[0]["README.md"])["name"] == "tiny", done.stderr

    def test_a_refusal_is_told(self, hub: Hub, tmp_path: Path) -> None:
        made = self.ready(hub, tmp_path, README_md=CARD)
        told = run(PUBLISH, hub, tmp_path, "6", "really", token="hf_wrong").stderr.splitlines()[-1]
        assert "model owner/tiny: " in told
        assert "401" in told
        assert made.proposed == []


def model_index(card: bytes) -> dict[str, Any]:
    """The entry of the card's metadata about results."""
    yaml = pytest.importorskip("yaml")
    metadata = yaml.safe_load(card.decode().split("---\n")[1])
    return json.loads(json.dumps(metadata["model-index"][0]))
