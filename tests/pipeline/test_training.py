"""A run repeats bit for bit, and so does one that was killed and resumed."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memrl
from memrl.checkpoint.folder import Checkpoints
from memrl.cli.app import app
from memrl.envs.catalogue import EnvCard
from memrl.envs.description import mission_of
from memrl.envs.make import card
from memrl.pipeline.training import whole_rollouts
from memrl.tracking.metrics_file import is_time

SMALL = ["+run=smoke", "threads=1", "evaluate.episodes=8", "memory=gru", "track=off",
         "run.pictures=false"]  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    """metrics.csv without the columns that measure the clock."""
    with (run / "metrics.csv").open() as file:
        table = [
            {name: cell for name, cell in row.items() if not is_time(name)}
            for row in csv.DictReader(file)
        ]
    assert len(table) > 1
    return table


def start(run: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "memrl", "train", *words]
    return subprocess.Popen(
        command, cwd=run.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def resume(run: Path, *words: str) -> None:
    app(["train", "--resume", str(run), *words], standalone_mode=False)


def killed_and_resumed(run: Path, words: list[str], kills: int, chance: random.Random) -> None:
    """Train to the end through ``kills`` kills, each at a random moment."""
    process = start(run, *words, f"run.dir={run}")
    while not (run / "config.yaml").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    for left in reversed(range(kills)):
        time.sleep(chance.uniform(0.0, 3.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if left:
            process = start(run, "--resume", str(run))
    resume(run)


@pytest.mark.slow
def test_the_same_seed_twice_is_bit_equal(tmp_path):
    runs = [
        memrl.train(memrl.compose([*SMALL, f"run.dir={tmp_path / name}"]), style="quiet")
        for name in ("one", "two")
    ]
    assert rows(runs[0].path) == rows(runs[1].path)
    assert runs[0].summary["success"] == runs[1].summary["success"]


@pytest.mark.slow
def test_another_seed_is_another_run(tmp_path):
    runs = [
        memrl.train(memrl.compose([*SMALL, f"seed={n}", f"run.dir={tmp_path / str(n)}"]))
        for n in (1, 2)
    ]
    assert rows(runs[0].path) != rows(runs[1].path)


@pytest.mark.parametrize(
    ("total", "start", "said"),
    [
        (1, 0, "total_steps=1 is reached after 1 rollout of 21 env steps"),
        (43, 0, "total_steps=43 is reached after 3 rollouts of 21 env steps"),
        (43, 21, "total_steps=43 is reached after 2 more rollouts of 21 env steps"),
        (42, 0, None),
        (42, 21, None),
        (20, 21, None),  # there is nothing left to learn
    ],
)
def test_training_ends_with_a_whole_rollout_and_says_so(total, start, said):
    words = ["env=probe", "env.num=3", "agent.steps=7", f"total_steps={total}"]
    assert whole_rollouts(memrl.compose(words), start) == said


@pytest.mark.parametrize("id", ["MiniGrid-Fetch-5x5-N2-v0", "BabyAI-GoToRedBallGrey-v0"])
def test_the_mission_of_an_episode_is_read_back_from_what_the_agent_saw(id):
    few = {} if id.startswith("BabyAI") else {"bank_size": 3}
    env = memrl.make(id, 1, seed=1, **few)
    obs = {name: value[0].numpy() for name, value in env.reset(1).items()}
    sentence = mission_of(obs, env.observation_space, card(id))
    assert sentence.split()[0] in {"get", "go", "fetch", "you"}
    assert len(sentence.split()) > 3
    env.close()


def test_a_task_without_missions_has_none():
    env = memrl.make("probe/Recall-v0")
    obs = {name: value[0].numpy() for name, value in env.reset().items()}
    assert mission_of(obs, env.observation_space, EnvCard()) == ""


def test_a_loaded_agent_acts_as_the_one_that_was_saved(tmp_path):
    run = memrl.train(memrl.compose([*SMALL, f"run.dir={tmp_path / 'run'}"]), style="quiet")
    loaded = memrl.load(run.path)
    assert loaded.env_steps == run.agent.env_steps
    actions = []
    for agent in (run.agent, loaded):
        env = memrl.make("probe/Recall-v0", num=7, seed=3)
        agent.begin(seed=5)
        step = env.reset(seed=3)
        taken = []
        for _ in range(11):
            action = agent.act(step)
            step = env.step(action)
            taken.append(action.tolist())
        actions.append(taken)
    assert actions[0] == actions[1]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_rows(tmp_path):
    words = [*SMALL, "total_steps=8192", "run.checkpoint_seconds=0.2"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    memrl.train(memrl.compose(words), whole, style="quiet")
    killed_and_resumed(broken, words, kills=2, chance=random.Random(1))
    assert rows(broken) == rows(whole)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_anew(tmp_path):
    words = [*SMALL, "run.checkpoint_seconds=1000"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    memrl.train(memrl.compose(words), whole, style="quiet")
    process = start(broken, *words, "total_steps=1_000_000", f"run.dir={broken}")
    while not (broken / "metrics.csv").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert Checkpoints(broken / "checkpoints").last() is None
    resume(broken, "total_steps=1024")
    assert rows(broken) == rows(whole)


@pytest.mark.nightly
@pytest.mark.parametrize("env", ["probe", "minigrid_memory"])
def test_twenty_kills_change_nothing(tmp_path, env):
    words = [*SMALL, f"env={env}", "memory=ntm", "run.checkpoint_seconds=0.1",
             "total_steps=32768"]  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    memrl.train(memrl.compose(words), whole, style="quiet")
    chance = random.Random(os.environ.get("MEMRL_KILL_SEED", env))
    killed_and_resumed(broken, words, kills=20, chance=chance)
    assert rows(broken) == rows(whole)
