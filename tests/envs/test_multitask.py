"""Several tasks in one batch: each row plays one of them, as it would alone."""

from __future__ import annotations

import math
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from small_agents import learn, make_agent
from small_episodic import learn as learn_nec
from small_episodic import make_agent as make_episodic
from small_r2d2 import learn_r2d2, make_r2d2
from suites import slow_but

import memrl
from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.agents.training_metrics import episode_metrics
from memrl.config.env_overrides import expand
from memrl.envs import MultiTask, make
from memrl.evaluation.evaluate import evaluate
from memrl.pipeline.build import check_env, make_env
from memrl.pipeline.env_card import card_of
from memrl.pipeline.evaluating import evaluate_agent
from memrl.pipeline.report import evaluation_line
from memrl.pipeline.trained import Run
from memrl.run.directory import RunDirectory

NAMES = ("short", "long")
make_nec = partial(make_episodic, "nec")
WORDS = ["env=[probe/Recall-v0 env.delay=1,probe/Recall-v0 env.delay=3]", "env.num=5"]


def batch(*, task_id=True, **options):
    """Three rows of a short Recall, two of a long one."""
    parts = [make("probe/Recall-v0", n, delay=d, **options) for n, d in ((3, 1), (2, 3))]
    return MultiTask(parts, names=NAMES, task_id=task_id)


def actions(env, steps):
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        yield torch.randint(env.action_space.n, (env.num_envs,), generator=generator)


def test_each_row_plays_its_task_as_it_would_alone():
    env, parts = batch(), [make("probe/Recall-v0", n, delay=d) for n, d in ((3, 1), (2, 3))]
    seeds = np.random.SeedSequence(7).generate_state(2).tolist()
    obs = env.reset(7)
    own = [part.reset(seed) for part, seed in zip(parts, seeds, strict=True)]
    assert torch.equal(obs["obs"], torch.cat([first["obs"] for first in own]))
    for action in actions(env, 20):
        now = env.step(action)
        alone = [p.step(a) for p, a in zip(parts, action.split([3, 2]), strict=True)]
        for name in ("reward", "terminated", "truncated"):
            assert torch.equal(getattr(now, name), torch.cat([getattr(t, name) for t in alone]))
        assert torch.equal(now.final_obs["obs"], torch.cat([t.final_obs["obs"] for t in alone]))


def test_the_entry_task_is_the_number_of_the_task_or_is_hidden():
    obs = batch().reset(1)
    assert obs["task"].tolist() == [0, 0, 0, 1, 1]
    assert "task" not in batch(task_id=False).reset(1)
    assert batch().observation_space["task"].n == 2


def test_metrics_of_a_task_are_unknown_in_the_rows_of_others():
    env, returns = batch(), torch.zeros(5)
    env.reset(1)
    for action in actions(env, 9):
        step = env.step(action)
        returns += step.reward
        metrics = step.metrics
        assert metrics["return/short"].isnan().tolist() == [False] * 3 + [True] * 2
        assert torch.equal(metrics["return/long"][3:], returns[3:])
        assert torch.equal(metrics["success/short"][:3], metrics["success"][:3])
        assert set(metrics) == {*env.metric_names}
        returns[step.ended] = 0


def test_means_are_over_the_episodes_that_have_a_value():
    rollout = make_agent(env=batch()).rollout
    ended = {0: 0.25, 2: 0.75, 3: math.nan}  # by environment, each at another step
    for env, success in ended.items():
        rollout.terminated[env + 1, env] = True
        rollout.metrics["success/short"][env + 1, env] = success
        rollout.metrics["success/long"][env + 1, env] = math.nan
    rollout.metrics["success/short"][7, 4] = 9.0  # no episode ended there
    found = episode_metrics(rollout)
    assert found["episode/count"] == 3
    assert found["episode/success/short"] == 0.5
    assert found["episode/success/long"].isnan()


def test_statistics_over_steps_are_means_over_the_episodes_that_have_a_value():
    env = batch()
    env.reset(1)
    statistics, sums = EpisodeStatistics(env), {"success/short": [], "success/long": []}
    for action in actions(env, 12):
        step = env.step(action)
        statistics.add(step, torch.ones_like(step.ended))
        for name, seen in sums.items():
            rows = step.ended & ~step.metrics[name].isnan()
            seen += step.metrics[name][rows].tolist()
    saved = {name: x.clone() for name, x in statistics.state_dict().items()}
    found = statistics.read()
    for name, seen in sums.items():
        assert float(found[f"episode/{name}"]) == pytest.approx(sum(seen) / len(seen))
    again = EpisodeStatistics(env)
    again.load_state_dict(saved)
    assert torch.equal(again.read()["episode/success/long"], found["episode/success/long"])


def test_a_batch_goes_on_bit_for_bit_with_trials_and_previous_rewards():
    env, other = batch(trial=2), batch(trial=2)
    env.reset(5), other.reset(6)
    taken = [*actions(env, 30)]
    for action in taken[:11]:
        env.step(action)
    resumed = other.load_state_dict(env.state_dict())
    assert {"prev_done", "prev_reward", "task"} <= set(resumed)
    for action in taken[11:]:
        one, two = env.step(action), other.step(action)
        assert all(torch.equal(one.obs[key], two.obs[key]) for key in one.obs)
        ended = one.ended
        for name in ("return/short", "return/long", "first_return"):
            assert torch.equal(one.metrics[name][ended].nan_to_num(9), two.metrics[name][ended]
                               .nan_to_num(9))  # fmt: skip


def test_a_batch_carries_the_states_of_all_tasks():
    env, other = batch(), batch()
    env.reset(5), other.reset(6)
    carried = env.carried()
    assert len(carried.generators) == 2
    other.carry(carried.state)
    first = next(actions(env, 1))
    one, two = env.step(first), other.step(first)
    assert torch.equal(one.reward, two.reward)
    assert torch.equal(one.metrics["return/long"][3:], two.metrics["return/long"][3:])


def test_tasks_of_other_spaces_are_refused_by_what_differs():
    short, other = make("probe/Recall-v0", 2), make("probe/Recall-v0", 2, cues=7)
    with pytest.raises(ValueError, match=r"b beside a has other observations: obs is Discrete"):
        MultiTask([short, other], names=("a", "b"))


def test_a_task_with_goals_is_refused():
    goals = [make("probe/Goal-v0", 2) for _ in "ab"]
    with pytest.raises(ValueError, match="a has goals"):
        MultiTask(goals, names=("a", "b"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["env=[probe/Recall-v0]"], "a list of two tasks or more is wanted, as in env="),
        (["env=[probe/Recall-v0,CartPole-v1]"], "tasks of several families: gymnasium, probe"),
        (["env=[probe/Recall-v0,probe/Recall-v0]"], "two tasks or more are wanted, none twice"),
        (["env=[probe/Recall-v0,probe/TMaze-v0]", "env.num=1"], "allowed: at least 2, one for"),
        (["env=[probe/Recall-v0,probe/TMaze-v0 env.num=3]"], "which all tasks share: write it"),
        (["env=[probe/Recall-v0,probe/Recall-v0 env.delay={a]"], "has a value that cannot be read"),
        (["env=[probe/Recall-v0,probe/TMaze-v0 length=3]"], "allowed: options env.NAME=VALUE"),
        ([*WORDS, "evaluate.episodes=1"], "evaluate.episodes=1 leaves a task out, allowed: at"),
        (["env=probe/Recall-v0", "env.task_id=true"], "is not read by one task"),
        (["env=probe/Recall-v0", "env.tasks=[probe/TMaze-v0,probe/OneStep-v0]"], "begins with"),
    ],
)
def test_a_wrong_list_is_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        memrl.compose(words)


def test_an_option_that_a_task_lacks_is_one_sentence():
    config = memrl.compose(["env=[probe/Recall-v0,probe/Recall-v0 env.dealy=3]"])
    with pytest.raises(ValueError, match=r"has no option 'dealy'.*did you mean delay"):
        check_env(config.env)


def test_a_list_of_ids_is_a_list_of_tasks_of_one_family():
    assert expand(["env=[A-v0,B-v0 env.x=1]", "seed=2"]) == [
        "env=gymnasium", "env.id=A-v0", "env.tasks=['A-v0','B-v0 env.x=1']", "seed=2"
    ]  # fmt: skip
    env = memrl.compose(WORDS).env
    assert env.title == "probe/Recall-v0 env.delay=1, probe/Recall-v0 env.delay=3"
    assert [one.model_extra["delay"] for one in env.each()] == [1, 3]


def test_a_config_shares_its_environments_out_and_one_of_them_is_of_the_first_task():
    config = memrl.compose([*WORDS, "env.task_id=true", "env.prev_reward=true"])
    env = make_env(config, seed=3)
    assert env.reset()["task"].tolist() == [0, 0, 0, 1, 1]
    one = make_env(config, num=1)
    assert one.observation_space == env.observation_space
    assert one.metric_names == env.metric_names
    assert one.reset(1)["task"].tolist() == [0]
    assert card_of(config).levels is None


def test_an_agent_learns_several_tasks_and_goes_on_bit_for_bit():
    agent, other = (make_agent(env=batch(prev_reward=True), minibatches=1, epochs=1) for _ in "ab")
    learn(agent, 1)
    other.load_state_dict(agent.state_dict())
    one, two = learn(agent, 1), learn(other, 1)
    assert one[-1]["episode/return/long"] == two[-1]["episode/return/long"]
    assert one[-1]["train/value"] == two[-1]["train/value"]
    means = [one[-1][f"episode/success/{name}"] for name in NAMES]
    assert min(means) <= one[-1]["episode/success"] <= max(means)


@pytest.mark.parametrize(
    ("make_one", "learn_one"),
    slow_but([(make_r2d2, learn_r2d2)], [(make_r2d2, learn_r2d2), (make_nec, learn_nec)]),
)
def test_other_agents_learn_several_tasks(make_one, learn_one):
    rows = learn_one(make_one(env=batch()), 2)
    assert all(f"episode/return/{name}" in rows[-1] for name in NAMES)


def test_an_evaluation_tells_of_each_task():
    found = evaluate(make_agent(env=batch()), batch(), 10, 1, show_progress=False)
    assert {name: score.return_.samples for name, score in found.tasks.items()} == {
        "short": 6, "long": 4
    }  # fmt: skip
    results = found.per_episode
    assert found.tasks["long"].success.mean == np.nanmean(results["success/long"])
    assert found.as_dict()["tasks"]["short"]["return"]["samples"] == 6
    assert "\n  long: success" in evaluation_line(found)


def test_an_agent_that_sees_its_task_takes_no_environment_of_ones_own(tmp_path):
    run = Run(RunDirectory(tmp_path), memrl.compose([*WORDS, "env.task_id=true"]))
    with pytest.raises(ValueError, match="an environment of your own does not say"):
        run.gymnasium_env(gymnasium.make("memrl/Recall-v0"))
    assert run.gymnasium_env().observation_space["task"].n == 2


def test_an_evaluation_leaves_no_task_out():
    config = memrl.compose(WORDS)
    with pytest.raises(ValueError, match="episodes=1 leaves a task out, allowed: at least 2"):
        evaluate_agent(config, make_agent(), episodes=1)
