"""A run that is continued with another length: what is refused, and what is said."""

from __future__ import annotations

import pytest

import memrl
from memrl.checkpoint import file
from memrl.errors import CheckpointError, RunError
from memrl.pipeline.directories import open_directory
from memrl.pipeline.loading import checkpoints_of
from memrl.run.directory import RunDirectory
from memrl.supervised.config import compose_fit

PPO = ["env=probe", "agent.lr=8e-4"]
R2D2 = ["env=probe", "agent=r2d2"]


def stopped(compose, words, seen):
    """A run that was stopped after ``seen`` env steps or sequences."""
    config = compose(words)
    with open_directory(config, None, "env_steps", print) as (run, _):
        checkpoints_of(run, config).save({"agent": {}}, experience=seen, score=None)
    return RunDirectory.open(run.path, command=config.command)


def continued(compose, words, run):
    said = []
    with open_directory(compose(words), run, "env_steps", said.append):
        return said[:-1]  # but for the sentence that it is continued


@pytest.mark.parametrize(
    ("compose", "words", "key"),
    [(memrl.compose, PPO, "total_steps"), (compose_fit, ["task=copy"], "sequences")],
)
def test_fewer_steps_than_were_made_are_refused_and_nothing_is_written(
    compose, words, key, tmp_path
):
    place = f"run.dir={tmp_path / 'run'}"
    run = stopped(compose, [*words, f"{key}=150_000", place], 110_592)
    before = run.config.read_bytes()
    with pytest.raises(RunError, match=rf"{key}=20,000: .*run has 110,592 env steps already"):
        continued(compose, [*words, f"{key}=20_000", place], run)
    assert run.config.read_bytes() == before


def test_a_finished_run_whose_last_rollout_went_beyond_its_total_is_opened_again(tmp_path):
    words = [*PPO, "total_steps=100", f"run.dir={tmp_path / 'run'}"]
    assert continued(memrl.compose, words, stopped(memrl.compose, words, 128)) == []


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        (PPO, "from here on agent.lr is 0.0004, not 0"),
        ([*PPO, "agent.lr_end=8e-4", "agent.entropy_end=0"], "agent.entropy is 0.005, not 0"),
        (R2D2, "from here on agent.replay.beta is 0.8, not 1"),
    ],
)
def test_a_longer_run_says_which_schedules_it_moves(words, moved, tmp_path):
    words = [*words, f"run.dir={tmp_path / 'run'}"]
    run = stopped(memrl.compose, [*words, "total_steps=1_000"], 1_000)
    (said,) = continued(memrl.compose, [*words, "total_steps=2_000"], run)
    assert said.startswith("total_steps=2,000, not 1,000, moves the schedules that end with the")
    assert said.endswith(moved)


def test_a_longer_supervised_run_says_so_where_its_rate_falls_only(tmp_path):
    words = ["task=copy", "memory=lstm", f"run.dir={tmp_path / 'run'}"]
    run = stopped(compose_fit, [*words, "sequences=1_000"], 500)
    assert continued(compose_fit, [*words, "sequences=4_000"], run) == []
    falls = [*words, "learner.lr_end=0", "learner.lr=8e-4"]
    other = stopped(compose_fit, [*falls, f"run.dir={tmp_path / 'b'}", "sequences=1_000"], 500)
    (said,) = continued(compose_fit, [*falls, "sequences=4_000"], other)
    assert said.endswith("from here on learner.lr is 0.0007, not 0.0004")


def test_a_run_from_before_an_option_existed_is_opened_unless_the_option_is_set(tmp_path):
    words = ["env=probe/Recall-v0", "env.num=2", "agent.steps=8", "agent.minibatches=1",
             "total_steps=16", "evaluate.episodes=2", "threads=1", "track=off", "memory=gru",
             "run.pictures=false", f"run.dir={tmp_path / 'run'}"]  # fmt: skip
    run = memrl.train(memrl.compose(words), style="quiet", say=str)
    (path,) = (run.path / "checkpoints").iterdir()
    header = file.read_header(path)
    for name in ("policy_coef", "teacher"):
        del header.fingerprint["agent"][name]
    state = file.load(path)
    file.save(path, state, experience=header.experience, fingerprint=header.fingerprint)
    assert memrl.load(run.path).env_steps == 16
    config = run.path / "config.yaml"
    config.write_text(config.read_text().replace("policy_coef: 1.0", "policy_coef: 0.5"))
    with pytest.raises(CheckpointError, match=r"agent\.policy_coef \(1\.0 there, 0\.5 here\)"):
        memrl.load(run.path)
