"""A run in which nothing is learned says so: before it where the config shows it, and after it."""

from __future__ import annotations

import pytest
from run_fakes import WalkAgent

import memrl
from memrl.evaluation.evaluate import Evaluation
from memrl.evaluation.statistics import mean
from memrl.pipeline.report import evaluation_line
from memrl.pipeline.training import UNTRAINED, TrainJob, has_learned, idle

FAST = ["env=probe", "env.num=3", "agent.steps=16", "threads=1", "evaluate.episodes=1", "track=off"]
LATE = {
    "r2d2 fill": ["agent=r2d2", "agent.replay.fill=5_000"],
    "r2d2 batch": ["agent=r2d2", "agent.replay.fill=10", "agent.batch=512"],
    "nec": ["agent=nec", "agent.warmup=5_000"],
}
SMALL = ["agent.replay.capacity=6_000"]


def config(words, total, *more):
    sizes = SMALL if "agent=r2d2" in words else []
    return memrl.compose([*words, *FAST, *sizes, f"total_steps={total}", *more])


@pytest.mark.parametrize("case", LATE)
def test_a_config_that_learns_nothing_is_told_from_one_that_does(case):
    sentence = idle(config(LATE[case], 300))
    assert sentence is not None
    assert sentence.startswith("total_steps=300 ends before anything is learned, with agent.")
    assert idle(config(LATE[case], 100_000)) is None


def test_the_sentence_is_exact_to_the_iteration():
    agent = ["agent=r2d2", "agent.replay.fill=60", "agent.batch=6", "agent.unroll=5",
             "agent.burn_in=0", "agent.replay_ratio=1.0", "agent.n_step=1"]  # fmt: skip
    # Filled after 20 steps of 3 environments; 10 of them are owed: the first update is step 29.
    assert idle(config(agent, 48)) is not None
    assert idle(config(agent, 49)) is None  # a second iteration, to step 32
    assert not learned_in(config(agent, 48))
    assert learned_in(config(agent, 49))


@pytest.mark.parametrize("agent", ["ppo", "mfec", "plan"])
def test_what_learns_at_once_is_never_told(agent):
    assert idle(memrl.compose([f"agent={agent}", *FAST, "total_steps=1"])) is None


@pytest.mark.parametrize("case", LATE)
def test_an_agent_that_only_collected_has_learned_nothing(case):
    assert not learned_in(config(LATE[case], 48))


def test_an_agent_that_waits_for_the_end_of_an_episode_has_learned_nothing_before():
    # The config does not show it: how long episodes are belongs to the environment.
    maze = "env=probe/TMaze-v0"
    assert not learned_in(config(["agent=mfec"], 48, maze, "env.length=40"))
    assert learned_in(config(["agent=mfec"], 300, maze, "env.length=2"))


@pytest.mark.parametrize(
    "words",
    [
        ["agent=ppo", "agent.bptt=16", "agent.minibatches=1"],
        ["agent=nec", "agent.warmup=20", "agent.horizon=2"],
        ["agent=plan"],
    ],
)
def test_an_agent_that_made_a_step_has_learned(words):
    assert learned_in(config(words, 48))


def test_of_an_agent_without_weights_nothing_is_said():
    assert has_learned(WalkAgent(), [])


def learned_in(made):
    job = TrainJob(made)
    initial = [weight.detach().clone() for weight in job.learner.policy.parameters()]
    job.learner.learn(made.total_steps, lambda row: None)
    return has_learned(job.learner, initial)


@pytest.mark.slow
def test_a_run_that_learned_nothing_says_so_before_and_after(tmp_path):
    said: list[str] = []
    made = config(LATE["r2d2 batch"], 48, f"run.dir={tmp_path / 'run'}")
    memrl.train(made, style="quiet", say=said.append)
    assert said[0].startswith("total_steps=48 ends before anything is learned")
    assert said[1] == f"nothing was learned in 48 env steps: {UNTRAINED}"
    assert said[2].startswith("1 episode: ")
    assert "inf" not in said[2]


def test_one_episode_has_no_interval():
    one = Evaluation(1, 0, None, None, mean([0.5]), mean([7.0]), None, {})
    assert evaluation_line(one) == "1 episode:  return 0.5  length 7"
    assert evaluation_line(one._replace(episodes=2)).startswith("2 episodes:")
