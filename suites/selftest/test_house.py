"""The house stands as it is drawn: light to import, its doctests true, its public names there."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import harness

NEEDS_A_FRAMEWORK = (
    "harness.adapters.pytorch",
    "harness.adapters.flax",
    "harness.adapters.jax",
    "harness.adapters.transformers",
    "harness.adapters.diffusers",
    "harness.adapters.k_diffusion.run",
)

MODULES = [
    module.name
    for module in pkgutil.walk_packages(harness.__path__, "harness.", onerror=lambda _name: None)
    if not module.name.startswith((*NEEDS_A_FRAMEWORK, "harness.__main__"))
]


def imported_by(code):
    command = f"import sys; {code}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    )


def test_import_harness_loads_neither_numpy_nor_anything_heavy():
    heavy = {"numpy", "pydantic", "rich", "jinja2", "pytest", "torch", "jax"}
    assert not heavy & imported_by("import harness")
    assert not heavy & imported_by("import harness.cli; harness.cli._parser().format_help()")


def test_the_plugin_loads_no_framework_and_no_numpy():
    assert not {"numpy", "pydantic", "torch", "jax", "transformers"} & imported_by("import harness.plugin")


@pytest.mark.parametrize("name", harness.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(harness, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'chekc'"):
        _ = harness.chekc


@pytest.mark.parametrize("name", ["harness", *MODULES])
def test_doctests(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_doctests_are_found():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 15
