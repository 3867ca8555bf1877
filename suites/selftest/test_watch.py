"""`harness watch`: it looks again when a file changes, shows what is wrong with it, survives all of it, and ends."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import pytest

from harness.porting import sources
from suites.selftest.test_walk import CASE, MODEL

SECONDS = 60
"""How long a look may take on a busy machine before it counts as none; alone, one takes a tenth of a second."""


class Watching:
    """The command in a process of its own, whose looks come as lines of JSON."""

    def __init__(self, root, *arguments):
        self.root = root
        command = [sys.executable, "-m", "harness", "watch", "layers", "--json", *arguments]
        # A run in the background ignores Ctrl-C, and so would all that it starts.
        heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=root, text=True, preexec_fn=heard, **pipes)
        self.lines = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def next(self):
        """The next look; the process is given the time to begin waiting for the one after."""
        return self.lines.get(timeout=SECONDS)

    def quiet(self, seconds):
        """Whether there is no further look for so long."""
        try:
            self.lines.get(timeout=seconds)
        except Empty:
            return True
        return False

    def write(self, name, text):
        (self.root / name).write_text(text)

    def stop(self):
        """Ctrl-C, as a terminal sends it: to the command, and its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=10)


@pytest.fixture
def watching(toys, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(toys.root / "cache"))
    toys.write("helper.py", "FACTOR = 1.0\n")
    toys.write("model.py", MODEL + "\nimport helper\ndef scaled(): return net('norm', lambda x: x * helper.FACTOR)\n")
    text = CASE.format(arguments="", more="").replace("model:port", "model:scaled").replace("arguments = {  }\n", "")
    toys.write("fixtures/cases/layers.toml", text)
    started = []

    def start(*arguments):
        started.append(Watching(toys.root, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def first(look):
    return look["walk"].get("first")


def test_it_looks_again_at_the_step_that_fails_and_goes_on_when_it_passes(watching):
    watch = watching()
    look = watch.next()
    assert (first(look), look["start"], look["cold"]) == (None, "", True)
    assert {Path(name).name for name in look["files"]} == {"model.py", "helper.py", "layers.toml"}
    watch.write("helper.py", "FACTOR = 1.1\n")  # a module that the factories' module has imported
    look = watch.next()
    assert (first(look), look["start"], look["cold"]) == ("head", "", False)
    watch.write("helper.py", "FACTOR = 1.2\n")
    look = watch.next()
    assert (first(look), look["start"]) == ("head", "head")
    assert look["exit_status"] == 1
    (failed,) = [step for step in look["walk"]["steps"] if step["status"] == "failed"]
    assert failed["detail"].startswith("norm")
    watch.write("helper.py", "FACTOR = 1.0\n")
    look = watch.next()
    assert (first(look), look["start"], look["exit_status"]) == (None, "head", 0)
    assert watch.quiet(0.5)
    assert watch.stop() == 0


def test_a_syntax_error_is_shown_and_the_watch_goes_on(watching):
    watch = watching()
    watch.next()
    watch.write("helper.py", "FACTOR = = 1\n")
    look = watch.next()
    assert "SyntaxError" in look["error"]
    assert "FACTOR = = 1" in look["error"]
    assert look["exit_status"] == 2
    watch.write("helper.py", "FACTOR = 1.5\n")
    assert first(watch.next()) == "head"
    watch.write("helper.py", "raise ValueError('not yet')\n")
    assert "not yet" in watch.next()["error"]
    watch.write("fixtures/cases/layers.toml", "divice = 1\n")
    assert "unknown key 'divice'" in watch.next()["error"]
    assert watch.stop() == 2
    assert watch.process.stderr.read() == ""


@pytest.mark.slow
def test_a_port_that_kills_the_process_is_survived(watching):
    watch = watching()
    watch.next()
    watch.write("helper.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert watch.next()["error"] == "the process that looks at the case died (status -9); it is started again"
    watch.write("helper.py", "FACTOR = 1.0\n")
    look = watch.next()
    assert (first(look), look["cold"]) == (None, True)


@pytest.mark.slow
def test_what_the_code_prints_is_not_taken_for_an_answer(watching):
    watch = watching("--once")
    watch.write("helper.py", 'print(\'{"event": "done"}\')\nFACTOR = 1.0\n')
    assert watch.next()["exit_status"] == 0
    assert watch.process.wait(timeout=10) == 0


@pytest.mark.slow
def test_once_looks_once_with_the_exit_status_of_the_walk(watching):
    watch = watching("--once")
    watch.write("helper.py", "FACTOR = 1.1\n")
    assert first(watch.next()) == "head"
    assert watch.process.wait(timeout=10) == 1


@pytest.mark.slow
def test_a_library_that_refuses_what_it_knows_is_asked_in_a_new_process(watching, toys, monkeypatch):
    library = "NAMES = set()\ndef register(name):\n    assert name not in NAMES, name\n    NAMES.add(name)\n"
    outside = toys.root.parent / f"{toys.root.name}-library"
    outside.mkdir(exist_ok=True)
    (outside / "registry.py").write_text(library)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(outside), os.environ.get("PYTHONPATH", "")]))
    toys.write("helper.py", "import registry\nregistry.register('mine')\nFACTOR = 1.0\n")
    watch = watching()
    assert watch.next()["exit_status"] == 0
    watch.write("helper.py", "import registry\nregistry.register('mine')\nFACTOR = 1.1\n")
    look = watch.next()
    assert (first(look), look["error"], look["cold"]) == ("head", "", True)


def test_the_reference_is_not_run_again_while_the_port_changes(watching, toys):
    """It counts its runs in a file."""
    counted = (
        "import pathlib\ndef reference():\n    made = net()\n    first = made.layers['embed']\n    def embed(x):\n"
        "        file = pathlib.Path('runs'); file.write_text(file.read_text() + '.' if file.exists() else '.')\n"
        "        return first(x)\n    return Layers({**made.layers, 'embed': embed})\n"
    )
    toys.write("original.py", "from model import Layers, net\n" + counted)
    case = toys.root / "fixtures/cases/layers.toml"
    case.write_text(case.read_text().replace("model:reference", "original:reference"))
    toys.write("ported.py", "from model import net\ndef port(): return net('norm', lambda x: x * 1.1)\n")
    case.write_text(case.read_text().replace("model:scaled", "ported:port"))
    watch = watching()
    assert first(watch.next()) == "head"

    def runs():
        return len((toys.root / "runs").read_text())

    def look(factor):
        before = runs()
        watch.write("ported.py", f"from model import net\ndef port(): return net('norm', lambda x: x * {factor})\n")
        assert first(watch.next()) == "head"
        return runs() - before

    look(1.2)
    assert look(1.3) == 0
    toys.write("original.py", (toys.root / "original.py").read_text() + "\n")
    watch.next()
    assert look(1.4) == 0


@pytest.mark.slow
def test_the_text_is_short_and_says_what_is_usual(watching, toys):
    toys.write("helper.py", "import numpy as np\nFACTOR = np.array([1.0, 1.3, 0.9, 1.2])\n")
    command = [sys.executable, "-m", "harness", "watch", "layers", "--once"]
    done = subprocess.run(command, cwd=toys.root, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("layers: head: failed (")
    assert lines[1].startswith("  norm, layer: ")
    assert done.returncode == 1


def test_modules_of_the_repository_are_forgotten_and_no_others(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package/inner.py").write_text("VALUE = 1\n")
    (tmp_path / "own_module.py").write_text("from own_package.inner import VALUE\n")
    import importlib

    assert importlib.import_module("own_module").VALUE == 1
    loaded = set(sys.modules)
    sources.forget(tmp_path)
    assert loaded - set(sys.modules) == {"own_module", "own_package", "own_package.inner"}
    (tmp_path / "own_package/inner.py").write_text("VALUE = 22\n")
    importlib.invalidate_caches()
    assert importlib.import_module("own_module").VALUE == 22
    sources.forget(tmp_path)


@pytest.mark.slow
def test_a_change_during_a_look_is_not_missed(watching, toys):
    watch = watching()
    watch.next()
    watch.write("helper.py", "import time\ntime.sleep(1)\nFACTOR = 1.1\n")
    time.sleep(0.6)
    watch.write("helper.py", "FACTOR = 1.0\n")
    assert first(watch.next()) == "head"
    assert first(watch.next()) is None
