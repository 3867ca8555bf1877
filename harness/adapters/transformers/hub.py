"""The library and its client of the Hugging Face Hub turned to another address for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from huggingface_hub import constants, file_download, hf_api
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars
from transformers.utils import hub as library

PATH = "/{repo_id}/resolve/{revision}/{filename}"


@contextmanager
def turned_to(endpoint: str, token: str, cache: Path) -> Iterator[None]:
    """While open, models are put and fetched there, with that token, whatever the environment says.

    Both packages read HF_ENDPOINT and HF_HOME when they are imported, so that what they made of them is replaced, as
    far as their versions have it.

    cache: where what is fetched lies.
    """
    places = (
        (constants, "ENDPOINT", endpoint),
        (constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + PATH),
        (file_download, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + PATH),
        (constants, "HF_HUB_CACHE", str(cache)),
        (constants, "HF_HUB_OFFLINE", False),
        (constants, "HF_HUB_DISABLE_XET", True),
        (hf_api.api, "endpoint", endpoint),
        (hf_api.api, "token", token),
        (library, "_is_offline_mode", False),
        (library, "TRANSFORMERS_CACHE", str(cache)),
        (library, "HUGGINGFACE_CO_RESOLVE_ENDPOINT", endpoint),
    )
    with ExitStack() as stack:
        for holder, name, value in places:
            if hasattr(holder, name):
                stack.enter_context(patch.object(holder, name, value))
        disable_progress_bars()
        stack.callback(enable_progress_bars)
        stack.enter_context(patch.dict("os.environ", {"HF_TOKEN": token, "NO_PROXY": "127.0.0.1"}))
        yield


def push(model: Any, name: str, **options: Any) -> str:
    """The model put there by its own `push_to_hub`; the id of the commit."""
    return str(model.push_to_hub(name, use_temp_dir=True, **options).oid)
