"""Names of runs, and directories that belong to one run only."""

from __future__ import annotations

import threading

import pytest

from memrl.errors import RunError
from memrl.pipeline.directories import make_directory, path_name
from memrl.run.directory import RunDirectory, runs_in


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("corridor:Corridor-v0-leaky:Leaky", "corridor-Corridor-v0-leaky-Leaky"),
        ("ns/Task v0", "ns-Task-v0"),
        ("-rf *", "rf"),
        ("../up", "up"),
        ("日本-ntm", "日本-ntm"),
        ("a,b=c@host:d'$(x)", "a-b-c-host-d-x"),
        ("::", "run"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_name_holds_nothing_that_other_programs_refuse(text, name):
    assert path_name(text) == name


def test_runs_that_begin_together_get_directories_of_their_own(tmp_path):
    made, ready = [], threading.Barrier(8)

    def claim():
        ready.wait()
        made.append(make_directory(tmp_path / "runs", "gru-seed1"))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {path.name for path in made}
    assert names == {"gru-seed1", *(f"gru-seed1-{n}" for n in range(2, 9))}


def test_a_root_that_cannot_hold_runs_is_one_sentence(tmp_path, monkeypatch):
    def refuse(self, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(RunError, match="choose another place"):
        make_directory(tmp_path / "runs", "gru")


def test_the_command_that_continues_a_run_can_be_pasted(tmp_path):
    assert RunDirectory("r/a b").resume_command() == "memrl train --resume 'r/a b'"


def test_the_runs_of_a_folder_are_found_at_any_depth(tmp_path):
    for name in ("b", "a/deep/x", "a/c", ".sweep", "b/checkpoints/kept"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").touch()
    found = [str(path.relative_to(tmp_path)) for path in runs_in(tmp_path)]
    assert sorted(found) == ["a/c", "a/deep/x", "b"]
    assert [*runs_in(tmp_path / "b")] == [tmp_path / "b"]
