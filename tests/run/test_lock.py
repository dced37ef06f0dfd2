"""A run is trained by one process at a time, and looked at by any."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

import memrl
from memrl.cli.app import app
from memrl.errors import RunError
from memrl.pipeline.loading import read_config
from memrl.run.directory import RunDirectory
from memrl.run.lock import LOCK, locked

HOLDER = """
import os, pathlib, sys, time
from memrl.run.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    ready, begun = os.pipe()
    if sys.argv[2:]:
        if os.fork() == 0:
            os.close(1)
            os.write(begun, b".")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def holder(folder, *options):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == str(process.pid)
    return process


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_and_told_who_holds_the_lock(tmp_path):
    process = holder(tmp_path)
    with (
        pytest.raises(RunError, match=rf"is being trained by process {process.pid}: wait"),
        locked(tmp_path),
    ):
        pass
    killed(process)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_child_that_outlives_a_killed_process_does_not_hold_its_lock(tmp_path):
    process = holder(tmp_path, "fork")
    killed(process)
    with locked(tmp_path):
        pass


def test_another_thread_of_this_process_is_refused_too(tmp_path):
    said = []

    def train_too():
        with pytest.raises(RunError) as refused, locked(tmp_path):
            pass
        said.append(str(refused.value))

    with locked(tmp_path):
        thread = threading.Thread(target=train_too)
        thread.start()
        thread.join()
    assert "being trained" in said[0]


def test_a_file_system_without_locks_still_trains(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        pass


SMALL = ["+run=smoke", "threads=1", "evaluate.episodes=8", "memory=gru", "track=off",
         "total_steps=512"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "run"
    memrl.train(memrl.compose([*SMALL, f"run.dir={path}"]), style="quiet", say=lambda line: None)
    return path


def test_a_live_run_is_neither_continued_nor_changed(finished):
    before = {file.name: file.read_bytes() for file in finished.iterdir() if file.is_file()}
    run = RunDirectory.open(finished)
    with locked(finished), pytest.raises(RunError, match="is being trained by process"):
        memrl.train(read_config(run, total_steps=1024), run, style="quiet")
    after = {file.name: file.read_bytes() for file in finished.iterdir() if file.is_file()}
    assert {**before, LOCK: b""} == {**after, LOCK: b""}


@pytest.mark.slow
def test_a_live_run_is_evaluated_watched_and_compared(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with locked(finished):
        app(["evaluate", str(finished), "episodes=5"], standalone_mode=False)
        app(["watch", str(finished), "out=x.gif"], standalone_mode=False)
        app(["compare", str(finished)], standalone_mode=False)
    assert "5 episodes" in capsys.readouterr().out


def test_a_supervised_run_that_is_live_is_not_continued(tmp_path):
    from memrl.supervised.config import compose_fit
    from memrl.supervised.fitting import fit_task

    run = RunDirectory.create(tmp_path / "run", "", command="fit")
    with locked(run.path), pytest.raises(RunError, match="is being trained"):
        fit_task(compose_fit(["task=copy", "threads=1"]), run, style="quiet")


def test_a_directory_with_a_lock_alone_may_become_a_run(tmp_path):
    with locked(tmp_path):
        pass
    assert RunDirectory.create(tmp_path, "").config.exists()
