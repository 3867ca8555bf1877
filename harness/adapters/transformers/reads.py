"""Which fields of its configuration a model reads while it is built and run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any
from unittest.mock import patch

from transformers import PretrainedConfig


@contextmanager
def reads(into: set[str]) -> Iterator[None]:
    """While open, the name of every field that code of a model reads is added to `into`.

    What configurations read of themselves, to be copied, written or shown, does not count.
    """
    original: Any = PretrainedConfig.__getattribute__

    def read(self: Any, key: str) -> Any:
        if not key.startswith("_") and _by_a_model(sys._getframe(1).f_code.co_filename):
            # A field may be known by a second name, which the class maps to the first.
            into.add(original(self, "attribute_map").get(key, key))
        return original(self, key)

    with patch.object(PretrainedConfig, "__getattribute__", read):
        yield


def _by_a_model(file: str) -> bool:
    name = PurePath(file).name
    own = name.startswith(("configuration_", "modeling_utils", "modeling_flax_utils"))
    return not own and "transformers" in PurePath(file).parts
