"""Results as metadata of a model card on the Hugging Face Hub: shown first, then proposed as a pull request."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, MissingError, SpecError
from harness.zeroshot.accuracy import Accuracy
from harness.zeroshot.task import Task

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASK = ("zero-shot-classification", "Zero-shot text classification")
"""Type and name of the task, as the Hub calls them."""


class PublishError(HarnessError):
    """The Hub refused, or could not be reached."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a card becomes. before, after: its whole text, before "" where there is none. url: of the pull request."""

    repository: str
    before: str
    after: str
    url: str = ""

    @property
    def difference(self) -> str:
        """What would change, as a unified diff."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, "README.md", "README.md, proposed", n=1))


def publish(
    repository: str, results: Sequence[tuple[Task, Accuracy]], *, really: bool = False, token: str | None = None
) -> Proposed:
    """The model card of `repository` with these results, the one of a task and normalisation in place of an older one.

    really: open the pull request; by default nothing is written anywhere. token: by default the one logged in with.

    Raises:
        SpecError: there is no result, or the card would stay as it is. PublishError: the Hub refused.
        MissingError: the package huggingface_hub is not installed.
    """
    if not results:
        raise SpecError(f"model {repository}", "there is no result to publish", todo="Score a task first.")
    try:
        from huggingface_hub import HfApi, ModelCard
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        todo = "Install parity-harness[zeroshot]."
        raise MissingError("publish", "needs the package huggingface_hub, which is not installed", todo=todo) from None
    hub = HfApi(token=token)
    try:
        before = Path(hub.hf_hub_download(repository, "README.md")).read_bytes().decode()
    except EntryNotFoundError:
        before = ""
    except Exception as error:  # whatever a network, a gate or a name does is the reason
        raise _refused(repository, error) from error
    card = ModelCard(before or "---\n{}\n---\n", ignore_metadata_errors=False)
    _enter(card, repository, results)
    after = str(card)
    if after == before:
        raise SpecError(f"model {repository}", "its card says all this already", todo="There is nothing to do.")
    if not really:
        return Proposed(repository, before, after)
    told = ", ".join(task.name for task, _ in results)
    try:
        made = hub.upload_file(
            path_or_fileobj=after.encode(),
            path_in_repo="README.md",
            repo_id=repository,
            commit_message=f"Add zero-shot accuracy: {told}",
            create_pr=True,
        )
    except Exception as error:
        raise _refused(repository, error) from error
    return Proposed(repository, before, after, str(made.pr_url))


def _enter(card: Any, repository: str, results: Sequence[tuple[Task, Accuracy]]) -> None:
    new = {_identity(each): each for each in (_result(*result) for result in results)}
    kept = [each for each in card.data.eval_results or () if _identity(each) not in new]
    card.data.eval_results = [*kept, *new.values()]
    card.data.model_name = card.data.get("model_name") or repository.rpartition("/")[2]


def _result(task: Task, found: Accuracy) -> EvalResult:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=TASK[0],
        task_name=TASK[1],
        dataset_type=task.data.hub or task.name,
        dataset_name=task.title,
        dataset_config=task.data.configuration or None,
        dataset_split=task.data.split or None,
        dataset_revision=task.data.revision or None,
        metric_type="accuracy",
        metric_name=f"Accuracy, {found.normalisation} of log-likelihoods",
        metric_value=round(found.accuracy, 6),
        metric_args={
            "normalisation": found.normalisation,
            "examples": found.examples,
            "standard_error": round(found.standard_error, 6),
            "wilson_95": [round(bound, 6) for bound in found.interval],
        },
    )


def _identity(result: EvalResult) -> tuple[Any, ...]:
    """What of two results makes the newer one replace the older."""
    arguments = result.metric_args if isinstance(result.metric_args, dict) else {}
    return (
        result.task_type,
        result.dataset_type,
        result.dataset_config,
        result.dataset_split,
        result.metric_type,
        arguments.get("normalisation"),
    )


def _refused(repository: str, error: Exception) -> PublishError:
    problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return PublishError(f"model {repository}", problem, todo="Check name, connection, and the token (`hf auth login`).")
