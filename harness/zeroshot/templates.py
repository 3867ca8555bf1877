"""From a row to the values of a question: a column by its name, or a Jinja2 template over the columns, sandboxed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import SpecError, closest

if TYPE_CHECKING:
    from harness.zeroshot.task import Task

Row = Mapping[str, Any]
Value = Callable[[Row], Any]


def is_template(text: str) -> bool:
    """Whether the text is a template and not the name of a column.

    >>> is_template("question"), is_template("{{ question }}?")
    (False, True)
    """
    return "{{" in text or "{%" in text


def value_of(text: str, *, place: str, column: bool = True) -> Value:
    """The function from a row to what the column or template gives of it.

    column: whether a text without braces is the name of a column; else it stands for itself.

    Raises:
        SpecError: the template does not parse; or, when it is called, a column is unknown or the template fails.
    """
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
    from jinja2.sandbox import SandboxedEnvironment

    if column and not is_template(text):
        return lambda row: _column(row, text, place)
    made = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        template = made.from_string(text)
    except TemplateSyntaxError as error:
        problem = f"{text!r} is no Jinja2 template: line {error.lineno} of it, {error.message}"
        raise SpecError(place, problem, todo="Mend the template.") from None
    names = _names(text)

    def render(row: Row) -> str:
        for name in names:
            _column(row, name, place)
        try:
            return template.render(row)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, OverflowError) as error:
            raise SpecError(place, f"{text!r} fails: {error}", todo="Mend the template.") from None

    return render


def check(task: Task) -> None:
    """Accept the task's templates.

    Raises:
        SpecError: one does not parse, with its line.
    """
    for keys, text in _texts(task):
        value_of(text, place=task.place(*keys))


def _texts(task: Task) -> Iterator[tuple[tuple[str, ...], str]]:
    for table in ("example", "sentences"):
        found = getattr(task, table)
        for key in getattr(type(found), "__slots__", ()) if found else ():
            value = getattr(found, key)
            texts = (value,) if isinstance(value, str) else value
            yield from (((table, key), text) for text in texts if key != "delimiter")
    yield from ((("about", key), text) for key, text in task.about.items())


def _names(text: str) -> list[str]:
    """The columns that a template reads."""
    from jinja2.meta import find_undeclared_variables
    from jinja2.sandbox import SandboxedEnvironment

    made = SandboxedEnvironment()
    return sorted(find_undeclared_variables(made.parse(text)) - set(made.globals))


def _column(row: Row, name: str, place: str) -> Any:
    if name not in row:
        raise SpecError(place, f"the rows have no column {name!r}", todo=closest(name, row))
    return row[name]
