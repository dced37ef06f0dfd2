"""`memrl train workers=2`, and torchrun: one run, one sentence, one checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from memrl.distributed.launch import LAUNCHER, _failure, launcher_of_this_process
from memrl.tracking.metrics_file import is_time, read_metrics

WORDS = ["env=probe/Recall-v0", "env.num=4", "agent.steps=16", "agent.bptt=16", "agent.epochs=1",
         "agent.minibatches=1", "threads=1", "evaluate.episodes=4", "run.pictures=false",
         "track=off"]  # fmt: skip
MEMRL = [sys.executable, "-m", "memrl", "train"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "memrl", "train"]  # fmt: skip


def run(command, *words):
    return subprocess.run([*command, *WORDS, *words], capture_output=True, text=True, timeout=300)


def rows(path):
    columns = read_metrics(path / "metrics.csv")
    return {name: list(map(str, column)) for name, column in columns.items() if not is_time(name)}


def test_the_first_rank_that_says_why_it_ended_is_quoted(tmp_path):
    files = [tmp_path / str(rank) for rank in range(3)]
    files[0].write_text('{"sentence": "another ended", "code": 1, "lost": true}')
    files[2].write_text('{"sentence": "the disk is full", "code": 3, "lost": false}')
    error = _failure([1, 1, 3], files)
    assert (str(error), error.exit_code) == ("the disk is full", 3)


def test_a_rank_that_was_killed_is_named(tmp_path):
    files = [tmp_path / str(rank) for rank in range(2)]
    files[0].write_text('{"sentence": "another ended", "code": 1, "lost": true}')
    error = _failure([1, -9], files)
    assert str(error) == "rank 1 was ended by SIGKILL, and the others with it"
    assert error.exit_code == 137


def test_a_rank_knows_the_process_that_started_it(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert launcher_of_this_process() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    assert launcher_of_this_process() == os.getppid()
    monkeypatch.setenv(LAUNCHER, "13")
    assert launcher_of_this_process() == 13


@pytest.mark.slow
def test_workers_and_torchrun_make_the_same_run(tmp_path):
    made = run(MEMRL, "workers=2", "total_steps=1024", f"run.dir={tmp_path / 'workers'}")
    assert made.returncode == 0, made.stderr
    also = run(TORCHRUN, "total_steps=1024", f"run.dir={tmp_path / 'torchrun'}")
    assert also.returncode == 0, also.stderr
    workers, torchrun = rows(tmp_path / "workers"), rows(tmp_path / "torchrun")
    assert workers == torchrun
    assert workers["env_steps"] == [str(128.0 * n) for n in range(1, 9)]
    assert made.stdout.count("episodes:") == 1
    assert "total_steps" in made.stdout


@pytest.mark.slow
def test_ranks_warn_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMRL_KERNELS", "1")
    words = ["memory=dnc", "memory.controller=feedforward", "total_steps=128"]
    made = run(MEMRL, "workers=2", *words, f"run.dir={tmp_path / 'run'}")
    assert made.returncode == 0, made.stderr
    assert made.stderr.count("has no kernel yet") == 1


@pytest.mark.slow
def test_a_mistake_is_told_once(tmp_path):
    path = tmp_path / "run"
    failed = run(MEMRL, "workers=2", "total_steps=512", "agent.minibatches=9", f"run.dir={path}")
    assert failed.returncode == 1
    assert failed.stderr == (
        "memrl: agent.minibatches=9, allowed: at most 4, the number of chunks in a rollout\n"
    )
    assert not path.exists()


@pytest.mark.slow
def test_a_sweep_of_several_processes_is_refused(tmp_path):
    words = ["seed=1,2", "workers=2", "total_steps=512", f"run.dir={tmp_path / 'runs'}"]
    failed = run([*MEMRL, "-m"], *words)
    assert failed.returncode == 1
    assert "a sweep (-m) trains each run in one process" in failed.stderr + failed.stdout


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_stops_all_ranks_and_says_how_to_go_on(tmp_path, signum):
    path = tmp_path / "run"
    words = ["workers=2", "total_steps=100000000", f"run.dir={path}"]
    process = subprocess.Popen(
        [*MEMRL, *WORDS, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    _wait_for(path / "metrics.csv", process)
    os.kill(process.pid, signum)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 128 + signum
    last = said.splitlines()[-1]
    assert last.startswith("memrl: stopped after ")
    assert last.endswith(f"continue with: memrl train --resume {path}")
    assert said.count("memrl: ") == 1
    assert any((path / "checkpoints").glob("steps-*.safetensors"))


def _wait_for(file, process):
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("command", [[*MEMRL, "workers=2"], TORCHRUN], ids=["memrl", "torchrun"])
def test_ranks_whose_launcher_was_killed_save_and_end(tmp_path, command):
    path = tmp_path / "run"
    process = subprocess.Popen(
        [*command, *WORDS, "total_steps=100000000", f"run.dir={path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _wait_for(path / "metrics.csv", process)
    process.kill()
    process.communicate(timeout=300)  # until the ranks have ended, which write to the same pipe
    seen = int(float(rows(path)["env_steps"][-1]))
    assert (path / "checkpoints" / f"steps-{seen:012}.safetensors").exists()
