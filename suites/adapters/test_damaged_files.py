"""Damaged weights are refused by the loaders with an error that names the factory; they are never unpickled."""

import pytest

from harness.cases.build import build
from harness.cases.spec import Factory
from harness.errors import BuildError
from harness.settings import find_repository


@pytest.fixture
def weights(tmp_path):
    """A function that copies a cached artifact and damages one of its files."""
    from harness.cases.artifacts import fetch, find_artifact

    def damaged(root, name, file, damage):
        repository = find_repository(root)
        source = fetch(find_artifact(repository, name), root=repository.root)
        for path in source.iterdir():
            if path.name != file:
                (tmp_path / path.name).symlink_to(path)
        (tmp_path / file).write_bytes(damage((source / file).read_bytes()))
        return tmp_path

    return damaged


DAMAGES = {
    "truncated": lambda data: data[: len(data) // 2],
    "no header": lambda data: b"\0" * 64 + data[64:1000],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(
    ("artifact", "file", "factory"),
    [
        ("all-minilm-l6-v2", "model.safetensors", "fixtures.ports.minilm:pytorch"),
        ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf", "fixtures.ports.smollm2:pytorch"),
    ],
)
def test_a_damaged_checkpoint_is_refused(pytestconfig, weights, artifact, file, factory, damage):
    for package in ("torch", "transformers", "flax", "gguf"):
        pytest.importorskip(package)
    folder = weights(pytestconfig.rootpath, artifact, file, damage)
    with pytest.raises(BuildError, match=f"case 'x', reference: the factory '{factory}' raised .* Call it by hand"):
        build(Factory(factory=factory), {"weights": folder}, root=pytestconfig.rootpath, place="case 'x', reference")


def test_a_pickled_checkpoint_is_not_loaded(pytestconfig, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("flax")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weight": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BuildError):
        build(
            Factory(factory="fixtures.ports.minilm:pytorch"),
            {"weights": tmp_path},
            root=pytestconfig.rootpath,
            place="case 'x', reference",
        )
    assert not (tmp_path / "sprung").exists()
