"""``launcher=ray``: ranks as the workers of Ray Train, and what is said without a cluster."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import memrl
from memrl.cli.main import main
from memrl.cluster.training import RECORDS, RayReporter, copy_run, printed
from memrl.errors import install_command
from memrl.run.directory import RunDirectory
from memrl.run.reporter import Reporter

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason=f"needs Ray: {install_command('ray')}"
)
WORDS = ["+run=smoke", "memory=gru", "launcher=ray", "workers=2"]


def told(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["memrl", "train", *words])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code, capsys.readouterr().err


def test_without_ray_the_sentence_names_the_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert told(monkeypatch, capsys, WORDS) == (
        1,
        f"memrl: ray.train.torch needs ray, which is not installed: {install_command('ray')}\n",
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cluster=auto"], "cluster=auto is not read by launcher=local (it is by ray)"),
        (["launcher=rya"], "launcher='rya': it should be 'local' or 'ray'; did you mean ray?"),
    ],
)
def test_words_that_do_not_fit_are_refused(words, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        memrl.compose(words)
    assert str(refused.value) == said


def test_from_python_the_launcher_is_refused():
    with pytest.raises(ValueError, match="launcher=ray is of memrl train alone"):
        memrl.train(memrl.compose(WORDS[:-1]))


def test_what_is_added_to_a_log_is_printed(tmp_path, capsys):
    log = tmp_path / "new" / "log"
    with printed(log), log.open("a") as file:
        file.write("7 of 11\n")
    with printed(log), log.open("a") as file:
        file.write("11 of 11\n")
    assert capsys.readouterr().err == "7 of 11\n11 of 11\n"


def test_a_copy_of_a_run_has_one_checkpoint_of_all_ranks(tmp_path):
    run = RunDirectory.create(tmp_path / "run", "seed: 3\n")
    run.checkpoints.mkdir()
    for name in ("steps-7", "steps-7.rank-1", "steps-11", "steps-11.rank-1"):
        (run.checkpoints / f"{name}.safetensors").write_text(name)
    (tmp_path / "copy").mkdir()
    copy_run(run, run.checkpoints / "steps-11.safetensors", tmp_path / "copy")
    files = sorted(path.name for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert files == ["config.yaml", "steps-11.rank-1.safetensors", "steps-11.safetensors"]
    assert isinstance(RayReporter(run), Reporter)


@needs_ray
@pytest.mark.slow
def test_ranks_go_on_from_the_last_checkpoint_when_one_is_killed(tmp_path):
    words = [*WORDS, "env.num=4", "total_steps=2048", "run.checkpoint_seconds=0.1", "run.dir=r",
             "run.pictures=false", "evaluate.episodes=4"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "memrl", "train", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run = RunDirectory(tmp_path / "r")
    while not any(run.checkpoints.glob("steps-????????????.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(int((run.path / "run.lock").read_text()), signal.SIGKILL)  # of rank 0
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert f"continuing {run} after" in error
    assert f"watch it             memrl watch {run}" in out
    assert json.loads(run.summary.read_text())["env_steps"] == 2048
    *_, stored = sorted((tmp_path / RECORDS / "r").glob("checkpoint_*/"))
    assert memrl.open_run(stored).agent.env_steps == 2048


@needs_ray
@pytest.mark.slow
def test_a_mistake_that_ranks_find_is_one_sentence_and_not_tried_again(tmp_path):
    words = [*WORDS, "env.num=4", "run.dir=r", "init=nowhere"]
    done = subprocess.run(
        [sys.executable, "-m", "memrl", "train", *words],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "memrl: there is no run at nowhere: give the directory of a run\n"
    assert not (tmp_path / "r").exists()


@needs_ray
@pytest.mark.slow
def test_a_head_that_does_not_answer_is_told_in_time(tmp_path, monkeypatch, capsys):
    from memrl.cluster import connection

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 5.0)
    code, error = told(monkeypatch, capsys, [*WORDS, "cluster=127.0.0.1:1"])
    assert code == 1
    assert error == (
        "memrl: cluster=127.0.0.1:1: no cluster answers within 5 s; `ray start --head` begins one, "
        "without cluster= this machine is one\n"
    )
    assert not (tmp_path / "runs").exists()
