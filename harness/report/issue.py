"""The text of an issue for the project whose port diverges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.report.divergences import Divergence

REMEDIES = {
    "epsilon": "Take the epsilon of the original.",
    "rotary base": "Compute the angles from the base that the configuration names.",
    "head not tied": "Use the weight of the embedding for the head where the configuration ties the two.",
    "kernel transposed": "Transpose the kernel when it is converted.",
}
"""What to change, where the cause by itself says so; a row of the register has its own words."""


def read_repro(folder: Path) -> dict[str, Any]:
    """What `harness repro` noted of the repro in `folder`.

    Raises:
        RecordError: it holds none.
    """
    try:
        found: dict[str, Any] = json.loads((folder / "repro.json").read_text(encoding="utf-8"))
        return found | {"script": (folder / found["files"][0]).read_text(encoding="utf-8")}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise RecordError(
            str(folder), f"holds no repro ({error})", todo="Write one: harness repro CASE -o DIR."
        ) from error


def issue(divergence: Divergence, repro: dict[str, Any], folder: Path) -> str:
    """The issue in Markdown: what is expected, what happens, why, and a script that shows it."""
    alone = "standalone.py" in repro["files"]
    script = (folder / "standalone.py").read_text(encoding="utf-8") if alone else repro["script"]
    said = repro["said_standalone"] if alone else repro["said"]
    attached = [name for name in repro["files"] if name.endswith(".safetensors")]
    kind = repro["called"]
    parts = [
        f"# {kind}: {divergence.cause}",
        f"`{kind}` ({repro['where']}) does not compute what the original does.",
        _versions(repro["versions"]),
        "## What is expected, and what happens",
        _measured(said, divergence),
        "## Cause",
        f"{_sentence(divergence.cause)} (`{divergence.where}`)" + _proved(repro),
        "## To reproduce",
        f"```python\n{script.strip()}\n```",
    ]
    if attached and not alone:
        listed = ", ".join(f"`{name}`" for name in attached)
        parts.append(f"Attach {listed} from `{folder}`: the script reads them from its own folder.")
    if repro["reproduces"]:
        parts.append(f"It prints, and ends with exit status 1 (0 once it is mended):\n\n```text\n{said}\n```")
    else:
        parts.append(f"**This script does not reproduce it**: {repro['said']}")
    if remedy := divergence.remedy or REMEDIES.get(repro["cause"], ""):
        parts += ["## Suggested change", remedy]
    return "\n\n".join(parts) + "\n"


def _versions(versions: dict[str, str]) -> str:
    return "Seen with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def _measured(said: str, divergence: Divergence) -> str:
    """The numbers in a sentence each, from what the script printed."""
    values = dict(line.split(None, 1) for line in said.splitlines() if len(line.split(None, 1)) == 2)
    if not {"at", "reference", "port", "error"} <= values.keys():
        return f"The outputs are off by {divergence.error:.3g} on values up to {divergence.scale:.3g}."
    place, explained = values["at"].removeprefix("index").strip(), values["rounding"].removesuffix(" at most")
    return (
        f"At {place} the original has {values['reference']}, the port {values['port']}. The largest error is "
        f"{values['error']}; rounding explains {explained}. In the whole model, outputs are off by "
        f"{divergence.error:.3g} on values up to {divergence.scale:.3g}."
    )


def _proved(repro: dict[str, Any]) -> str:
    return f"\n\nMeasured in the module: {repro['cause']}, {repro['detail']}." if repro["cause"] else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}" if text else text
