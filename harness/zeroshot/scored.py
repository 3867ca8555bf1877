"""What a model says of one example: everything that re-scoring needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from harness.errors import RecordError


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model says of one example.

    log_likelihoods: sum over the completion's tokens, an option each, natural logarithm.
    tokens, characters, bytes: of each option's completion (bytes in UTF-8).
    """

    id: str
    target: int
    log_likelihoods: tuple[float, ...]
    tokens: tuple[int, ...]
    characters: tuple[int, ...]
    bytes: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The example's line of JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scored:
        """What `to_dict` gave, possibly through JSON; further keys are left out.

        Raises:
            RecordError: a value is missing, or is not one for each option.
        """
        place = f"scores of example {values.get('id')!r}"
        missing = [each.name for each in fields(cls) if each.name not in values]
        if missing:
            raise RecordError(place, f"{', '.join(missing)} missing", todo="Score the example again.")
        lists = {name: tuple(values[name]) for name in ("log_likelihoods", "tokens", "characters", "bytes")}
        if len({len(each) for each in lists.values()}) != 1 or not 0 <= values["target"] < len(lists["tokens"]):
            raise RecordError(place, f"{dict(values)!r} is not one value for each option", todo="Score it again.")
        return cls(id=values["id"], target=values["target"], **lists)
