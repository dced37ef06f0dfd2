from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from memrl.checkpoint.atomic import write_atomically
from memrl.errors import RunError
from memrl.run.directory import RunDirectory


def test_a_new_run_has_its_config_and_nothing_else(tmp_path):
    run = RunDirectory.create(tmp_path / "a" / "b", "seed: 3\n")
    assert run.config.read_text() == "seed: 3\n"
    assert os.listdir(run) == ["config.yaml"]
    assert RunDirectory.open(run.path).path == run.path


def test_an_empty_directory_may_become_a_run(tmp_path):
    assert RunDirectory.create(tmp_path, "").config.exists()


def test_a_run_is_never_written_over(tmp_path):
    RunDirectory.create(tmp_path, "seed: 3\n")
    with pytest.raises(
        RunError, match=r"already contains a run: choose another run.dir, or .*--resume"
    ):
        RunDirectory.create(tmp_path, "seed: 4\n")
    assert (tmp_path / "config.yaml").read_text() == "seed: 3\n"


def test_a_directory_of_other_files_is_not_taken(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"already contains other files: choose another run.dir$"):
        RunDirectory.create(tmp_path, "")


def test_a_run_that_was_killed_before_it_began_begins_anew(tmp_path):
    """A sweep, a course and a benchmark choose the directory, and try again."""
    for name in ("run.lock", ".config.yaml.17.tmp", "plugins.json"):
        (tmp_path / name).touch()
    run = RunDirectory.create(tmp_path, "seed: 3\n")
    assert run.config.exists()
    assert run.read_plugins() == {}


def test_a_run_has_its_plugins_as_soon_as_it_is_a_run(tmp_path, monkeypatch):
    """A kill between the two files would leave a run that no command can open."""
    plugins = {"leaky": str(tmp_path)}

    def killed_at_config(path, content):
        if path.name == "config.yaml":
            raise KeyboardInterrupt
        write_atomically(path, content)

    monkeypatch.setattr("memrl.run.directory.write_atomically", killed_at_config)
    with pytest.raises(KeyboardInterrupt):
        RunDirectory.create(tmp_path / "run", "seed: 3\n", plugins=plugins)
    assert RunDirectory(tmp_path / "run").read_plugins() == plugins


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(RunError, match="is a file"):
        RunDirectory.create(tmp_path / "x", "")


def test_what_is_not_a_run_is_not_opened(tmp_path):
    with pytest.raises(RunError, match=r"not a run: it has no config\.yaml"):
        RunDirectory.open(tmp_path)
    with pytest.raises(RunError, match=r"there is no run at .*nowhere"):
        RunDirectory.open(tmp_path / "nowhere")


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    for content in (b"old", b"new"):
        write_atomically(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    ("code", "why"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full"), (errno.EROFS, "be written")],
)
def test_a_failed_write_is_explained_and_leaves_the_old_file(tmp_path, monkeypatch, code, why):
    write_atomically(tmp_path / "x", b"old")

    def fail(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=why):
        write_atomically(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_the_device_that_is_always_full_is_explained(monkeypatch, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(Path, "with_name", lambda *_: Path("/dev/full"))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    with pytest.raises(RunError, match="disk is full"):
        write_atomically(tmp_path / "x", b"new")


def test_other_errors_keep_their_name(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(tmp_path / "x", b"new")


def test_the_resume_command_names_the_run(tmp_path):
    assert RunDirectory(tmp_path).resume_command() == f"memrl train --resume {tmp_path}"
