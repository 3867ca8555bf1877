"""Files are written whole or not at all, lines one by one, and a torn last line is no error."""

import errno
import os
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.files import append_line, cache_folder, read_lines, write_atomic


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    write_atomic(tmp_path / "deep/file.txt", "old and long")
    write_atomic(tmp_path / "deep/file.txt", b"new")
    assert (tmp_path / "deep/file.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, monkeypatch):
    write_atomic(tmp_path / "file.txt", "old")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match=r"file.txt: cannot be written \(No space left on device\). The disk is full"):
        write_atomic(tmp_path / "file.txt", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file.txt", "old")]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="Check the folder and its permissions"):
        write_atomic(tmp_path / "file/inner.txt", "x")


def test_lines_come_back_without_the_torn_one(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    append_line(path, {"a": 1})
    append_line(path, {"b": "é\n"})
    with path.open("a") as stream:
        stream.write('{"c": ')
    assert read_lines(path) == [{"a": 1}, {"b": "é\n"}]


@pytest.mark.parametrize("damage", ["{broken\n", "[1]\n", "3\n"])
def test_a_damaged_line_before_the_last_is_said_with_its_number(tmp_path, damage):
    (tmp_path / "lines.jsonl").write_text('{"a": 1}\n' + damage + '{"b": 2}\n')
    with pytest.raises(RecordError, match="lines.jsonl:2: not a JSON object"):
        read_lines(tmp_path / "lines.jsonl")


def test_nan_is_not_written_as_something_that_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        append_line(tmp_path / "lines.jsonl", {"a": float("nan")})


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HARNESS_CACHE")
    assert "parity-harness" in str(cache_folder())


class TestWriteFolder:
    def test_all_or_nothing_and_over_an_earlier_one_alone(self, tmp_path):
        from harness.files import write_folder

        site = write_folder(tmp_path / "site", [("mark", "1"), ("a/b.txt", b"old")], mark="mark")
        write_folder(site, [("mark", "2")], mark="mark")
        assert sorted(path.name for path in site.rglob("*")) == ["mark"]
        (tmp_path / "other").mkdir()
        (tmp_path / "other/file").touch()
        for folder in (tmp_path / "other", tmp_path / "other/file"):
            with pytest.raises(RecordError, match="holds other things, and no mark"):
                write_folder(folder, [("mark", "3")], mark="mark")
        assert (tmp_path / "other/file").is_file()

    def test_a_disk_that_refuses_leaves_the_old_one(self, tmp_path, monkeypatch):
        from harness.files import write_folder

        site = write_folder(tmp_path / "site", [("mark", "1")], mark="mark")
        replace = Path.replace

        def refuse(self, target):
            if self.name == "new":
                raise OSError(28, "No space left on device")
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(RecordError, match="The disk is full"):
            write_folder(site, [("mark", "2")], mark="mark")
        assert (site / "mark").read_text() == "1"
        assert [path.name for path in tmp_path.iterdir()] == ["site"]
