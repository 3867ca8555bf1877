"""Causal language models of transformers from a folder, with their tokenizer and their size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import BuildError


def load(folder: Path) -> Any:
    """The model whose files lie in the folder, in PyTorch and float32; nothing is fetched, and nothing unpickled.

    Raises:
        BuildError: the folder holds no such model, or transformers cannot load it.
    """
    return _loaded(AutoModelForCausalLM, folder, dtype="float32", use_safetensors=True).eval()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of the folder, also where a GGUF file holds it.

    Raises:
        BuildError: there is none, or transformers cannot load it.
    """
    return _loaded(AutoTokenizer, folder)


def size(model: Any) -> tuple[int, int] | None:
    """Parameters, each counted once, and those of them that multiply a token's activations; None if not in PyTorch.

    An embedding is looked up and multiplies nothing, unless it is the head's weight too.
    """
    if not hasattr(model, "parameters") or not hasattr(model, "get_input_embeddings"):
        return None
    total = sum(weight.numel() for weight in model.parameters())
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    return total, total - (0 if tied else embedding.weight.numel())


def _loaded(kind: Any, folder: Path, **options: Any) -> Any:
    files = sorted(folder.glob("*.gguf"))
    if files and not (folder / "config.json").is_file():
        options = {key: value for key, value in options.items() if key != "use_safetensors"}
        options["gguf_file"] = files[0].name
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # whatever transformers says of a folder is the reason
        problem = f"cannot be loaded by {kind.__name__}: {type(error).__name__}: {' '.join(str(error).split())}"
        raise BuildError(
            str(folder), problem, todo="Give what `save_pretrained` of model and tokenizer wrote."
        ) from error
