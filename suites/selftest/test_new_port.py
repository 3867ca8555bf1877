"""`harness new-port`: what it writes, and that bad input is told with nothing written."""

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.adapters.choose import adapt
from harness.cli import main
from harness.errors import SpecError
from harness.porting.given import Given, drawn, guess_inputs
from harness.porting.patterns import Line
from harness.porting.written import Said, case_text, conversion_text, module_text

MODELS = """
import numpy as np
from harness.adapters.toy.layers import Layers

def original(): return Layers({"up": lambda x: 2 * x, "act": np.tanh, "left": lambda x: x + 0})
def ported(): return Layers({"widen": lambda x: 2 * x, "act": np.tanh, "other": lambda x: x[:, :1]}, output="y")
def same(): return Layers({"up": lambda x: 2 * x, "act": np.tanh, "left": lambda x: x + 0})
def inputs(): return {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}

def raising(): raise ValueError("the checkpoint is truncated")
def no_model(): return 3
def needing():
    import fremdwerk
def wanting(size): return original()
def with_rules(converted): return original()
def failing(): return lambda x: 1 / 0
def picky(): return lambda x, words: {"y": x} if words == "yes" else 1 / 0
"""

BROKEN = "import fremdwerk.inner\ndef original(): ...\n"


@pytest.fixture
def run(toys, monkeypatch, capsys):
    """Call `harness new-port` in a repository; status, standard output, standard error."""
    monkeypatch.chdir(toys.root)
    monkeypatch.setenv("HARNESS_CACHE", str(toys.root / "cache"))
    toys.write("models.py", MODELS)
    toys.write("broken.py", BROKEN)

    def call(*arguments, name="mine", reference="models:original", port="models:same"):
        for module in [each for each in sys.modules if each in ("models", "broken") or each.startswith("fixtures")]:
            if module != "fixtures" or not hasattr(sys.modules[module], "__file__"):
                monkeypatch.delitem(sys.modules, module)
        options = ["--reference", reference, "--port", port, *arguments]
        try:
            status = main(["new-port", name, *[each for each in options if each is not None]])
        except SystemExit as exit_:
            status = exit_.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def written(toys):
    return {
        str(path.relative_to(toys.root)) for path in toys.root.rglob("*") if path.is_file() and "cache" not in str(path)
    }


def test_a_port_that_is_right_is_green_at_once(toys, run):
    before = written(toys)
    status, out, _ = run("--inputs", "models:inputs")
    assert status == 0, out
    assert written(toys) - before == {"fixtures/cases/mine.toml"}
    assert out.startswith("mine: written\n  fixtures/cases/mine.toml\n  0 lines certain, 0 guessed, 0 names open\n")
    assert "mine: AGREE" in out
    assert out.endswith("next:\n  1. harness check mine --steps\n  2. pytest\n")
    # The repository's own test takes in every case already.
    assert toys.pytest().ret == 0


def test_names_are_mapped_where_values_are_equal_and_what_is_open_is_marked(toys, run):
    status, out, _ = run("--inputs", "models:inputs", port="models:ported")
    text = (toys.root / "fixtures/cases/mine.toml").read_text()
    assert '[mapping]\n"up" = "widen"  # certain: equal values\n' in text
    assert '[unmatched.reference]\n# "left" = ""  # layer\n' in text
    assert '[unmatched.port]\n# "other" = ""  # layer\n' in text
    assert status == 1
    assert "1. map or explain what the files mark with #: left and 1 more" in out
    assert "harness watch mine, while you mend the port" in out


def test_without_a_test_of_every_case_it_writes_one(toys, run):
    (toys.root / "test_cases.py").unlink()
    toys.write("pyproject.toml", '[tool.pytest.ini_options]\ntestpaths = ["checks"]\n')
    assert run("--inputs", "models:inputs")[0] == 0
    assert '@pytest.mark.case("mine")' in (toys.root / "checks/test_mine.py").read_text()
    assert toys.pytest("checks").ret == 0


def test_inputs_are_guessed_and_written(toys, run):
    status, out, _ = run("--json", name="my-port")
    found = json.loads(out)
    assert (status, found["verdict"], found["certain"]) == (0, "agree", 0)
    assert found["files"] == ["fixtures/cases/my-port.toml", "fixtures/my_port.py", "fixtures/__init__.py"]
    text = (toys.root / "fixtures/my_port.py").read_text()
    assert "Guessed: put in what the model is made for." in text
    assert '"x": generator.normal(size=(2, 7, 8)).astype(np.float32),' in text


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            {"reference": "models:raising"},
            3,
            "new-port 'mine', reference: the factory 'models:raising' raised ValueError: the ",
        ),
        (
            {"port": "models:no_model"},
            3,
            "new-port 'mine', port: no adapter takes an object of type builtins.int. Give a torch",
        ),
        ({"port": "models:needing"}, 3, "needs the package 'fremdwerk', which is not installed (at "),
        ({"port": "models:needing"}, 3, "Run `pip install fremdwerk`."),
        ({"reference": "broken:original"}, 2, "'broken:original' cannot be imported: it needs the package 'fremdwerk'"),
        (
            {"reference": "modles:original"},
            2,
            "there is no module 'modles'. Did you mean 'models'? It is looked for from ",
        ),
        ({"reference": "models:orginal"}, 2, "models has no function 'orginal'. Did you mean 'original'?"),
        ({"port": "models:wanting"}, 2, "'models:wanting' wants 'size'"),
        (
            {"port": "models:with_rules"},
            2,
            "takes 'converted', weights made by rules, of which there are none yet. Give a",
        ),
        ({"port": "models:failing"}, 3, "raised ZeroDivisionError when called with x (2, 7, 8)"),
        ({"reference": "models:picky"}, 2, "no inputs were found for 'x', 'words' (the last try: ValueError"),
        ({"reference": "models:picky"}, 2, "Give --inputs module:factory, a function that returns name -> array."),
        (
            {"name": "my port"},
            2,
            "new-port 'my port': 'my port' is no name. Use letters, digits, - and _, a letter first.",
        ),
        ({"name": "2nd"}, 2, "'2nd' is no name"),
        ({"name": "toy"}, 2, "fixtures/cases/toy.toml is there already. Choose another name, or give --force."),
        ({"reference": "models"}, 2, "harness new-port: --reference is 'models'. Give it as MODULE:FACTORY."),
        ({"reference": ""}, 2, "harness new-port: --reference is missing. Give it as MODULE:FACTORY."),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(toys, run, arguments, status, said):
    toys.case("toy")
    before = written(toys)
    found = run(**arguments)
    assert found[0] == status, found
    assert said in " ".join(found[2].split())
    assert found[1] == ""
    assert written(toys) == before


def test_a_repository_without_a_pyproject_is_told_to_begin_with_init(toys, run):
    (toys.root / "pyproject.toml").unlink()
    status, _, said = run()
    assert status == 2
    assert "there is no pyproject.toml in" in said
    assert "Run `harness init` there first." in said


def test_a_repository_without_pytest_is_told_to_install_it(toys):
    toys.write("models.py", MODELS)
    code = (
        "import sys, importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'pytest' else find(name, *more)\n"
        "from harness.cli import main\n"
        "sys.exit(main(['new-port', 'mine', '--reference', 'models:original', '--port', 'models:same']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toys.root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pytest is not installed, which runs the case. Run `pip install pytest`." in done.stderr
    assert not (toys.root / "fixtures").exists()


def test_a_module_that_another_package_hides_is_told(toys, run):
    toys.write("hidden/json.py", "")
    toys.write("json/models.py", "def original(): ...\n")
    assert "Another 'json' is found before that of" in run(reference="json.models:original")[2]


def test_force_writes_over_and_a_failure_restores(toys, run):
    assert run("--inputs", "models:inputs")[0] == 0
    file = toys.root / "fixtures/cases/mine.toml"
    file.write_text("mine = 1\n")
    assert run("--inputs", "models:inputs")[0] == 2
    assert run("--inputs", "models:inputs", "--force", port="models:raising")[0] == 3
    assert file.read_text() == "mine = 1\n"
    assert run("--inputs", "models:inputs", "--force")[0] == 0
    assert "mine = 1" not in file.read_text()


def test_what_is_written_says_of_every_line_how_it_is_known():
    rules = [
        Line(("a.weight",), ("b.kernel",), ((1, 0), 0), True, "equal values"),
        Line(("q", "k"), ("qk",), ((), 1), False, "only shape: 2 neighbours, joined"),
    ]
    assert conversion_text("t", rules, (['"left", (3,)'], [])).splitlines() == [
        'title = "t"',
        "",
        "[[rule]]  # certain: equal values",
        'source = "a.weight"',
        'target = "b.kernel"',
        "order = [1, 0]",
        "",
        "[[rule]]  # guessed: only shape: 2 neighbours, joined",
        'source = ["q", "k"]',
        'target = "qk"',
        "axis = 1",
        "",
        "# No guess: weights of the reference that nothing of the other side fits. Write a rule for each;",
        "# or one with a source alone, and a reason.",
        '# source = "left", (3,)',
    ]
    said = Said(
        "n", "t", "a:b", "c:d", "e:f", True, [Line(("x",), ("y",), None, False, "only shape")], {"x": (0, 2, 1)}
    )
    text = case_text(said)
    assert '"x" = "y"  # guessed: only shape\n' in text
    assert '[axes]\n"x" = [0, 2, 1]\n' in text
    assert text.startswith('title = "t"\nconversion = "n"\n')


@pytest.mark.parametrize(
    "given",
    [Given((2, 7), 30), Given((2, 3, 4)), Given((2, 7), mask=True)],
    ids=["ids", "floats", "mask"],
)
def test_what_is_drawn_is_what_the_written_function_draws(given):
    name = {}
    exec(module_text("t", given={"x": given}, factory="", framework="", rules=""), name)
    np.testing.assert_array_equal(name["inputs"]()["x"], drawn({"x": given})["x"])


def test_inputs_that_no_candidate_fits_are_asked_for():
    with pytest.raises(SpecError, match="the reference does not say what it takes"):
        guess_inputs(lambda *given: given, adapt(lambda *given: given), place="here")
