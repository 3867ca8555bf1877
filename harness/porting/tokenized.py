"""The tokenizers of a case, held against each other."""

from __future__ import annotations

from typing import Any

from harness.errors import MissingError


def check_tokenizers(reference: Any, port: Any, *, seed: int) -> Any:
    """What `harness.check_tokenizers` finds: it has a `verdict`, and prints its text.

    Raises:
        MissingError: this version of the harness has no such check.
    """
    import harness

    check = getattr(harness, "check_tokenizers", None)
    if check is None:
        raise MissingError(
            "step 'tokenizer'", "needs harness.check_tokenizers, which is not installed", todo="Upgrade parity-harness."
        )
    return check(reference, port, seed=seed)
