"""The package that an original implementation comes from: which it is, and whether it is here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from harness.errors import BuildError, MissingError
from harness.reader import specification


@specification
class Original:
    """Where a case's reference comes from.

    package: a distribution. version: that the case was made with. licence: under which it is given.
    source: where it is kept. recorded: it is no package here, but a trace that was made elsewhere.
    """

    package: str
    version: str
    licence: str
    source: str = ""
    recorded: bool = False


def require(original: Original, *, place: str) -> None:
    """Nothing, if the original's package is here.

    Raises:
        MissingError: it is not. BuildError: another version is.
    """
    if original.recorded:
        return
    name = f"{original.package} {original.version}"
    try:
        found = version(original.package)
    except PackageNotFoundError:
        raise MissingError(
            place,
            f"needs {name}, which is not installed",
            todo=f"Run `tox run -e originals`, or pip install --no-deps {original.package}=={original.version}.",
        ) from None
    if found != original.version:
        todo = f"Install {original.package}=={original.version}, or make the case with what is here."
        raise BuildError(place, f"was made with {name}, and {found} is installed", todo=todo)


def refuse_torchvision(*, place: str) -> None:
    """Nothing, unless a torchvision is here that was built for another torch: transformers cannot be imported then.

    Raises:
        BuildError: it is, and which torch it wants.
    """
    try:
        here, wanted = version("torch"), requires("torchvision") or []
    except PackageNotFoundError:
        return
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name == "torch" and not requirement.specifier.contains(here, prereleases=True):
            raise BuildError(
                place,
                f"torchvision {version('torchvision')} wants torch{requirement.specifier}, and torch {here} is "
                "installed: transformers cannot be imported beside it",
                todo="Install the torchvision that belongs to this torch, or none.",
            )
