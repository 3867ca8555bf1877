"""An original by the configuration of a model on the hub, small enough to be run at once."""

from __future__ import annotations

from pprint import pformat
from typing import TYPE_CHECKING

from harness.errors import MissingError

if TYPE_CHECKING:
    from harness.adapters.transformers.configuration import Small


def small_model(name: str) -> Small:
    """The small version of a hub's model, by its name `owner/name` or a folder.

    Raises:
        MissingError: transformers is not installed. BuildError: its configuration cannot be read, or made small.
    """
    try:
        from harness.adapters.transformers.configuration import small
    except ImportError as error:
        todo = "Run `pip install transformers torch`."
        raise MissingError(
            f"--from-hub {name}", f"needs transformers, which is not installed: {error}", todo=todo
        ) from error
    return small(name)


def model_text(name: str, found: Small) -> str:
    """The module with the sizes of both sides, the configuration, and the original made of it."""
    rows = "".join(f"    {key!r}: {size},  # {was} there\n" for key, (size, was) in found.sizes.items())
    settings = pformat(dict(found.settings), width=110, sort_dicts=False)
    make = ".from_config" if found.model == "AutoModel" else ""
    return f'''"""A small {name}: its configuration on the hub, with other sizes. Nothing is fetched to make it."""

SETTINGS = {settings}
"""What the configuration has other than by default."""

SIZES = {{
{rows}}}
"""Small ones; a port is made in these as well. Change them together."""


def configuration():
    """Of both sides: a port's factory that takes `reference` has it as `reference.config`."""
    from transformers import {found.configuration}

    return {found.configuration}(**{{**SETTINGS, **SIZES}})


def reference():
    """The original, with weights drawn at random."""
    import torch
    from transformers import {found.model}

    torch.manual_seed(0)
    return {found.model}{make}(configuration()).eval()
'''
