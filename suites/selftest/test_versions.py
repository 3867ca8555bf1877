"""`harness bisect-version` on small packages that the test makes, and the search by itself."""

import importlib.util
import json
import zipfile

import pytest

from harness.cli import main
from harness.errors import RunError, SpecError
from harness.versions.pip import complaint, install, releases
from harness.versions.search import Step, search

needs_pip = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not installed")


def wheel(folder, name, version, code, requires=()):
    """A wheel of one module, made by hand."""
    info = f"{name}-{version}.dist-info"
    wants = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{wants}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


def shifted(by):
    return f"SHIFT = {by}\n"


@pytest.fixture
def shop(toys, tmp_path, monkeypatch, capsys):
    """A toy case whose reference shifts by what the package `fakeshift` says, and a folder of its versions."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(toys.root)
    toys.write("shifting.py", "import toys, fakeshift\ndef reference(): return toys.net(shift=fakeshift.SHIFT)\n")
    file = toys.case("toy")
    file.write_text(file.read_text().replace("toys:reference", "shifting:reference"))
    wheels = toys.root / "wheels"

    def call(*arguments, package=("fakeshift", "1.0", "1.4")):
        status = main(
            ["bisect-version", "toy", "--package", *package, "--no-index", "--find-links", str(wheels), *arguments]
        )
        return status, *capsys.readouterr()

    call.wheels = wheels
    call.toys = toys
    return call


@needs_pip
def test_the_first_version_and_module_that_differ_are_named_and_the_rest_is_skipped(shop):
    wheel(shop.wheels, "fakeshift", "1.0", shifted(1.0))
    wheel(shop.wheels, "fakeshift", "1.1", "raise ImportError('out of order')")
    wheel(shop.wheels, "fakeshift", "1.2", shifted(1.5), requires=["fakehub>=2"])
    wheel(shop.wheels, "fakeshift", "1.4", shifted(1.5), requires=["no-such-thing>=7"])
    wheel(shop.wheels, "fakeshift", "2.0", shifted(9.0))
    wheel(shop.wheels, "fakehub", "2.1", "")
    status, text, _ = shop()
    lines = text.splitlines()
    assert status == 1, text
    assert lines[:2] == ["toy, reference: fakeshift", "  1.0         agrees: the first"]
    assert lines[2].startswith("  1.1         skipped: fakeshift 1.1: case 'toy', reference: 'shifting:reference'")
    assert "cannot be imported: out of order." in lines[2]
    assert lines[3].startswith("  1.2         differs (with fakehub 2.1): output: ")
    assert lines[4].startswith("  1.4         skipped: fakeshift 1.4: cannot be installed: ")
    assert "no-such-thing>=7" in lines[4]
    assert lines[5] == "first that differs: fakeshift 1.2, in shift; 1.0 still agrees; not known of 1.1"
    assert "  reference   Python Layers, fakeshift 1.0\n  port        Python Layers, fakeshift 1.2\n" in text
    assert "at fault    shift, layer: its inputs agree and its output does not" in text

    found = json.loads(shop("--json", "--traces", "kept", package=("fakeshift", "1.0", "1.2"))[1])
    assert (found["agreeing"], found["differing"], found["module"]) == ("1.0", "1.2", "shift")
    last = found["versions"][-1]
    assert last["changed"] == {"fakeshift": "1.2", "fakehub": "2.1"}
    assert last["trace"] == str(shop.toys.root / "kept/reference-fakeshift-1.2.safetensors")
    assert main(["compare", found["versions"][0]["trace"], last["trace"]]) == 1


@needs_pip
@pytest.mark.slow
def test_versions_that_agree_though_they_would_make_other_inputs_and_a_side_that_cannot_be_run(shop):
    """All get the inputs of the first: a tokenizer that changed would otherwise be taken for a model that did."""
    wheel(shop.wheels, "fakeshift", "1.0", shifted(1.0))
    wheel(shop.wheels, "fakeshift", "1.4", shifted(1.0) + "OTHER = True\n")
    given = "def inputs(): return {'x': toys.inputs()['x'] + hasattr(fakeshift, 'OTHER')}\n"
    shop.toys.write("given.py", f"import toys, fakeshift\n{given}")
    file = shop.toys.root / "fixtures/cases/toy.toml"
    file.write_text(file.read_text().replace("toys:inputs", "given:inputs"))
    status, text, _ = shop()
    assert (status, text.splitlines()[3]) == (0, "no difference: fakeshift 1.4 computes what the first does")
    shop.toys.write("shifting.py", "import no_such_framework\n")
    status, text, _ = shop()
    assert status == 3
    assert "nothing to compare: fewer than two versions of fakeshift could be run" in text


@needs_pip
def test_misuse_is_said(shop, capsys):
    wheel(shop.wheels, "fakeshift", "1.0", shifted(1.0))
    for package, status, said in (
        (("fakeshift", "1.4", "1.0"), 2, "fakeshift: 1.4 is not older than 1.0. Give the older version first."),
        (("fakeshift", "1.0", "new"), 2, "fakeshift: 'new' is no version. Give two, such as 4.57.6 5.0.0."),
        (("nofake", "1.0", "1.4"), 3, "nofake: pip lists no versions of it: No matching distribution found for nofake"),
    ):
        found = shop(package=package)
        assert (found[0], found[1]) == (status, "")
        assert said in found[2]
    shop.toys.case("tic")
    assert main(["bisect-version", "t*", "--package", "fakeshift", "1.0", "1.4"]) == 2
    assert "case 't*': names 2 cases. Name one." in capsys.readouterr().err


@needs_pip
def test_releases_are_those_between_without_early_ones(shop):
    for version in ("0.9", "1.0", "1.2rc1", "1.2", "1.10", "2.0"):
        wheel(shop.wheels, "fakeshift", version, "")
    options = ["--no-index", f"--find-links={shop.wheels}"]
    assert releases("fakeshift", "1.0", "2.0", options=options) == ["1.0", "1.2", "1.10", "2.0"]
    assert releases("fakeshift", "1.2rc1", "1.10", options=options) == ["1.2rc1", "1.2", "1.10"]


@pytest.mark.parametrize("first_bad", range(1, 9))
@pytest.mark.parametrize("skipped", [(), (3,), (0, 1), (7, 8), (2, 3, 4, 5)])
def test_the_search_finds_the_first_whatever_is_skipped(first_bad, skipped):
    order = [f"1.{minor}" for minor in range(9)]

    def attempt(version):
        at = order.index(version)
        return Step(version, "skipped" if at in skipped else "differs" if at >= first_bad else "agrees")

    found = search(order, attempt)
    usable = [at for at in range(9) if at not in skipped]
    agreeing = [at for at in usable if at < first_bad]
    differing = [at for at in usable if at >= first_bad]
    assert len({step.version for step in found.steps}) == len(found.steps)
    if not agreeing:  # what is not the first that can be run differs from nothing
        return
    assert found.agreeing == order[agreeing[-1]]
    assert found.differing == (order[differing[0]] if differing else "")
    between = range(agreeing[-1] + 1, differing[0]) if differing else ()
    assert found.skipped == tuple(order[at] for at in between)


def test_the_search_has_nothing_to_say_of_fewer_than_two():
    for usable in ("", "1.0", "1.1"):
        found = search(
            ["1.0", "1.1"], lambda version, usable=usable: Step(version, "agrees" if version == usable else "skipped")
        )
        assert (found.agreeing, found.differing, len(found.steps)) == ("", "", 2)


def test_a_conflict_is_told_with_the_requirements_and_without_advice():
    text = """ERROR: Cannot install fakeshift==1.4 and fakehub==1.0 because these have conflicting dependencies.

The conflict is caused by:
    The user requested fakehub==1.0
    fakeshift 1.4 depends on fakehub>=2

To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit https://pip.pypa.io
"""
    assert complaint(text).endswith(
        "The conflict is caused by: The user requested fakehub==1.0 fakeshift 1.4 depends on fakehub>=2"
    )
    assert complaint("WARNING: slow\n") == ""


def test_what_pip_refuses_is_an_error(monkeypatch):
    import subprocess
    import sys
    from pathlib import Path

    def refused(command, **_keywords):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no matter\n")

    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(RunError, match="fakeshift 1.0: cannot be installed: no matter. Choose another version"):
        install(Path(sys.executable), "fakeshift", "1.0")
    with pytest.raises(SpecError, match="is not older than"):
        releases("fakeshift", "1.0", "1.0")
