"""Score a task once: what an earlier run has scored is kept, whether it ended or was killed."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.adapters.language import LanguageModel, Way, language_model
from harness.adapters.tokenizer import Tokenizer, tokenizer_of
from harness.errors import SpecError
from harness.files import append_line, cache_folder, locked, read_lines, write_atomic
from harness.zeroshot.accuracy import Normalisation
from harness.zeroshot.example import Example
from harness.zeroshot.result import Result
from harness.zeroshot.score import BATCH, Plan, Progress, batches, plan
from harness.zeroshot.scored import Scored
from harness.zeroshot.tokens import Bos

SCHEMA = 1
"""Of what is kept: another number, and nothing that was kept before is used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What else a score depends on. The batch does not belong to it: it changes no score."""

    bos: Bos
    way: Way | None


def score_task(
    model: Any,
    tokenizer: Any,
    name: str,
    examples: Sequence[Example],
    *,
    normalisation: Normalisation = "sum",
    way: Way | None = None,
    bos: Bos = "tokenizer",
    batch: int = BATCH,
    cache: Path | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Result:
    """The scores of all examples: those of an earlier run, and the missing ones, on the disk as soon as they are found.

    They are kept by the content of model, examples and tokenizer, the settings, and the versions of the libraries.
    Of two processes that want the same scores one waits, and finds them.

    way, bos, batch: as for `score`. cache: where scores are kept; `zero_shot` in the cache folder unless given.
    tell: told, in a sentence, of a wait for another process.

    Raises:
        SpecError: there is no example, or two have one id; and as `score`.
    """
    _check(name, examples)
    adapted, tokens, settings = language_model(model), tokenizer_of(tokenizer), Settings(bos, way)
    folder = (cache or cache_folder() / "zero_shot") / _key(adapted, tokens, name, examples, settings)
    with locked(folder / ".lock", waiting=lambda: (tell or _silent)(f"{name}: another process scores it")):
        kept = _kept(folder, examples)
        missing = [each for each in examples if each.id not in kept]
        start, shapes = time.perf_counter(), adapted.shapes
        if missing:
            planned = plan(adapted, tokens, missing, way=way, bos=bos, batch=batch)
            _begin(folder, planned)
            _finish(folder, planned, progress, before=len(kept))
        seconds = time.perf_counter() - start if missing else 0.0
        found = _kept(folder, examples)
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return Result(
        task=name,
        model=adapted.describe(),
        scored=tuple(found[each.id] for each in examples),
        normalisation=normalisation,
        way=about["way"],
        refused=tuple(about["refused"]),
        proof=about["error"],
        kept=len(kept),
        seconds=seconds,
        shapes=adapted.shapes - shapes,
        file=folder / SCORES,
        about_way=tuple(about["warnings"]),
    )


SCORES, ABOUT = "scores.jsonl", "about.json"


def _check(name: str, examples: Sequence[Example]) -> None:
    if not examples:
        raise SpecError(f"task {name!r}", "there is no example", todo="Give a task with examples.")
    ids = [each.id for each in examples]
    if len(set(ids)) < len(ids):
        twice = next(each for each in ids if ids.count(each) > 1)
        raise SpecError(f"task {name!r}", f"two examples have the id {twice!r}", todo="Give each its own.")


def _key(model: LanguageModel, tokenizer: Tokenizer, name: str, examples: Sequence[Example], settings: Settings) -> str:
    """The name of the folder: another one after anything changed on which a score depends."""
    parts = {
        "schema": SCHEMA,
        "model": model.fingerprint(),
        "versions": model.versions(),
        "tokenizer": tokenizer.fingerprint(),
        "settings": asdict(settings),
        "examples": [[each.id, each.prompt, each.options, each.target] for each in examples],
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{re.sub(r'[^a-zA-Z0-9._-]+', '-', name)[:60]}-{digest[:20]}"


def _kept(folder: Path, examples: Sequence[Example]) -> dict[str, Scored]:
    """The scores that the folder holds, by id; the file is made whole again where a kill tore off its last line."""
    file = folder / SCORES
    lines = read_lines(file)
    if file.exists() and not file.read_bytes().endswith(b"\n"):
        write_atomic(file, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    known = {each.id for each in examples}
    return {scored.id: scored for scored in map(Scored.from_dict, lines) if scored.id in known}


def _begin(folder: Path, planned: Plan) -> None:
    chosen = planned.chosen
    about = {
        "way": chosen.way,
        "error": chosen.error,
        "refused": chosen.refused,
        "warnings": chosen.warnings,
        "model": planned.model.describe(),
        "versions": planned.model.versions(),
    }
    write_atomic(folder / ABOUT, json.dumps(about, indent=1))


def _finish(folder: Path, planned: Plan, progress: Progress | None, *, before: int) -> None:
    done, total = before, before + len(planned.examples)
    for several in batches(planned):
        append_line(folder / SCORES, *(each.to_dict() for each in several))
        done += len(several)
        if progress:
            progress(done, total)


def _silent(said: str) -> None:
    """Nobody listens."""
