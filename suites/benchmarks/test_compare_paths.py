"""`harness bench compare` of a case's paths: against another path, and against a revision."""

import json
import subprocess

import pytest

from harness.bench.paths import timed
from harness.cli import main

for package in ("torch", "jax", "flax"):
    pytest.importorskip(package, reason=f"needs {package} 0, which is not installed")

CASE = """
title = "two layers"
[reference]
factory = "twins:Layers"
[port]
factory = "twins:port"
[inputs]
factory = "twins:inputs"
"""
EAGER, JIT, MESH = (f"{each}-forward-float32-cpu" for each in ("pytorch-eager", "jax-jit", "jax-mesh"))


@pytest.fixture
def repository(tmp_path, request, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[tool.harness]\ncases = "cases"\n')
    (tmp_path / "twins.py").write_text((request.path.parent / "twins.py").read_text())
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases/twins.toml").write_text(CASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def compared(capsys, base, *arguments):
    main(["bench", "compare", base, "--json", "--case", "twins", "--delta", "0.2", *arguments])
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    return found


def test_another_path(repository, capsys):
    found = compared(capsys, JIT, "--path", EAGER)
    assert (found["outcome"], found["reason"]) == ("slower", "")
    assert found["terms"]["limit_seconds"] == 20
    assert found["contexts"][0]["threads"] == found["contexts"][1]["threads"] == 1


def test_a_mesh_is_held_against_one_device_that_does_all_of_its_batch(repository, capsys):
    found = compared(capsys, JIT, "--path", MESH)
    assert found["arguments"] == {"case": "twins", "devices": 8, "path": MESH}
    assert found["quads"], found["reason"]


def test_a_revision_in_which_the_model_does_less(repository, capsys):
    def git(*arguments):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    code = (repository / "twins.py").read_text()
    (repository / "twins.py").write_text(
        code.replace("        return {", "        self.first(x.repeat(1, 99, 1))\n        return {", 1)
    )
    found = compared(capsys, "HEAD", "--path", EAGER)
    assert (found["outcome"], found["reason"]) == ("slower", "")


def test_a_path_stays_as_it_was_made_ready(repository):
    """Bfloat16 and no gradients, as long as it is called: not only until the function that made it returns."""
    import gc

    import torch

    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(repository)
        path = timed(case="twins", path=EAGER.replace("float32", "bfloat16"))
    gc.collect()
    output = path()["y"]
    assert (output.dtype, output.requires_grad) == (torch.bfloat16, False)
    del path
    gc.collect()
    assert torch.is_grad_enabled()


def test_another_precision_is_refused(repository, capsys):
    found = compared(capsys, EAGER.replace("float32", "bfloat16"), "--path", EAGER)
    assert found["outcome"] == "inconclusive"
    assert found["reason"] == "taken in different precision modes: 'bfloat16' and 'float32'"
