"""An original that is not here, is another version, or does not go with torch: said at once, and nothing is built."""

import importlib.metadata

import pytest

from harness.cases import original as module
from harness.cases.original import Original, refuse_torchvision, require
from harness.cases.spec import read_case
from harness.cli import main
from harness.errors import BuildError, MissingError

GONE = Original(package="no-such-original", version="1.2", licence="MIT")


def test_a_package_that_is_missing():
    with pytest.raises(MissingError) as caught:
        require(GONE, place="case 'toy'")
    assert str(caught.value) == (
        "case 'toy': needs no-such-original 1.2, which is not installed. "
        "Run `tox run -e originals`, or pip install --no-deps no-such-original==1.2."
    )


def test_a_package_of_another_version():
    here = importlib.metadata.version("numpy")
    with pytest.raises(BuildError, match=f"was made with numpy 0.1, and {here} is installed. Install numpy==0.1"):
        require(Original(package="numpy", version="0.1", licence="BSD"), place="toy")
    require(Original(package="numpy", version=here, licence="BSD"), place="toy")


def test_a_recording_needs_no_package():
    require(Original(package="no-such-original", version="1.2", licence="MIT", recorded=True), place="toy")


@pytest.mark.parametrize(("torch", "refused"), [("2.13.0+cpu", True), ("2.14.1", False)])
def test_a_torchvision_for_another_torch(monkeypatch, torch, refused):
    found = {"torch": torch, "torchvision": "0.29.1"}
    monkeypatch.setattr(module, "version", found.__getitem__)
    monkeypatch.setattr(module, "requires", lambda name: ["numpy", "torch==2.14.1", "pillow>=5.3"])
    if not refused:
        refuse_torchvision(place="toy")
        return
    with pytest.raises(BuildError, match=r"torchvision 0.29.1 wants torch==2.14.1, and torch 2.13.0\+cpu is installed"):
        refuse_torchvision(place="toy")


def test_without_torchvision_nothing_is_refused(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module, "requires", absent)
    refuse_torchvision(place="toy")


CASE = """
title = "toy"

[original]
package = "no-such-original"
version = "1.2"
licence = "MIT"

[reference]
factory = "nowhere:reference"

[port]
factory = "nowhere:port"
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.harness]\n")
    (tmp_path / "fixtures/cases").mkdir(parents=True)
    (tmp_path / "fixtures/cases/toy.toml").write_text(CASE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["check", "audit"])
def test_the_command_says_what_to_install(command, repository, capsys):
    assert main([command, "toy"]) == 3
    assert "needs no-such-original 1.2, which is not installed" in capsys.readouterr().err


def test_a_test_of_it_is_skipped_with_the_reason(repository, pytester):
    pytester.path.joinpath("fixtures/cases").mkdir(parents=True)
    pytester.path.joinpath("fixtures/cases/toy.toml").write_text(CASE)
    pytester.path.joinpath("pyproject.toml").write_text("[tool.harness]\n")
    pytester.makepyfile("import pytest\n@pytest.mark.case('toy')\ndef test_it(case, parity):\n    parity(case)\n")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["*needs no-such-original 1.2, which is not installed*"])


def test_a_case_without_inputs_is_read_and_says_so_when_it_is_run(repository):
    from harness import Repository, check_case
    from harness.errors import SpecError
    from harness.settings import Settings

    text = CASE.replace('package = "no-such-original"', 'package = "numpy"').replace(
        'version = "1.2"', f'version = "{importlib.metadata.version("numpy")}"'
    )
    (repository / "toys_of_this_test.py").write_text("def reference():\n    return abs\n")
    file = repository / "fixtures/cases/toy.toml"
    file.write_text(text.replace("nowhere:", "toys_of_this_test:"))
    with pytest.raises(SpecError, match=r"case 'toy': has no inputs. Add \[inputs\]"):
        check_case(read_case(file), Repository(root=repository, settings=Settings()))


def test_a_result_is_made_again_when_the_rules_change(repository):
    """A killed run goes on with what it has, as long as all that a result depends on is the same."""
    from harness.plugin.resume import _pinned

    file = repository / "fixtures/cases/toy.toml"
    file.write_text(f'conversion = "toy"\n{CASE}')
    rules = repository / "fixtures/conversions/toy.toml"
    rules.parent.mkdir()
    found = []
    for target in ("b", "c"):
        rules.write_text(f'title = "toy"\n[[rule]]\nsource = "a"\ntarget = "{target}"\n')
        found.append(_pinned(read_case(file), repository))
    assert found[0] != found[1]
