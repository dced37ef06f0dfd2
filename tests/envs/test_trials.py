"""Trials: episodes of one task that an agent plays with one memory."""

from __future__ import annotations

import pytest
import torch
from run_fakes import WalkAgent
from small_agents import learn, make_agent
from suites import slow_but
from test_make import TENSOR_IDS, few_levels, sampled, scribble, tensors
from torch import Tensor

import memrl
from memrl.envs import Previous, TensorVectorEnv, Trials, make
from memrl.envs.adapters.export import can_render
from memrl.envs.make import TENSOR_FAMILIES, card
from memrl.envs.probes import Goal, OneStep, Recall, TMaze
from memrl.envs.wrappers import with_previous
from memrl.errors import CheckpointError
from memrl.evaluation.evaluate import evaluate
from memrl.pipeline.directories import open_directory
from memrl.pipeline.env_card import references
from memrl.pipeline.loading import checkpoints_of
from memrl.pipeline.report import evaluation_line
from memrl.rollout.env import Transition

KINDS = [
    "probe/Bandit-v0",
    "probe/Recall-v0",
    "probe/TMaze-v0",
    "popgym-RepeatFirstEasy-v0",
    "popgym-PositionOnlyCartPoleEasy-v0",
    "MiniGrid-MemoryS7-v0",
    "MiniGrid-DoorKey-5x5-v0",
]
WITHOUT_GOALS = [id for id in TENSOR_IDS if id != "probe/Goal-v0"]
PLAYED = [
    id
    for name, family in TENSOR_FAMILIES.items()
    for id in family.ids
    if name in ("probe", "minigrid_memory") or "Easy" in id or id in KINDS
]


@pytest.mark.parametrize("id", slow_but(KINDS, PLAYED))
def test_every_tensor_environment_repeats_its_task_on_request(id):
    one = {"barcodes": 1} if "Barcode" in id else {}  # of several, another one comes up next
    env = make(id, 5, seed=3, **few_levels(id), **one)
    first = env.reset()
    rows = torch.tensor([True, False, True, True, False])
    env.keep_task(rows)
    repeated = torch.zeros(5, dtype=torch.long)
    for action in sampled(env, 1500):
        after = env.step(action)
        again = after.ended & rows
        for key in first:
            assert torch.equal(after.obs[key][again], first[key][again])
        repeated += again
        if (repeated[rows] >= 2).all():
            break
    assert (repeated[rows] >= 1).all()


def test_a_task_that_is_not_kept_is_a_new_one():
    env = make("probe/OneStep-v0", 5, seed=3)
    first = env.reset()["obs"]
    rows = torch.tensor([True, False, True, True, False])
    env.keep_task(rows)
    again = env.step(torch.zeros(5, dtype=torch.long)).obs["obs"]
    assert torch.equal((again == first).all(1), rows)
    env.keep_task(None)
    later = env.step(torch.zeros(5, dtype=torch.long)).obs["obs"]
    assert not (later == again).all(1).any()
    env.keep_task(torch.ones(5, dtype=torch.bool))
    assert not (env.reset()["obs"] == later).all(1).any()


class ResetsLater(OneStep):
    """Says that no row of it was a reset row, as an adapter of a NEXT_STEP environment does."""

    def step(self, action: Tensor) -> Transition:
        return super().step(action)._replace(valid=torch.ones(self.num_envs, dtype=torch.bool))


def test_environments_that_reset_one_step_later_make_no_trial():
    env = Trials(ResetsLater(3), episodes=2)
    env.reset(5)
    with pytest.raises(ValueError, match="a trial of ResetsLater, which resets one step after"):
        env.step(torch.zeros(3, dtype=torch.int64))


def test_a_trial_is_its_episodes_played_one_by_one():
    """A loop over single environments says when episodes end; their flags and returns follow."""
    trials, alone = Trials(TMaze(7, length=2), episodes=3), TMaze(7, length=2)
    trials.reset(5), alone.reset(5)
    episode, so_far, first = [0] * 7, [0.0] * 7, [0.0] * 7
    seen = torch.zeros(3, dtype=torch.long)  # how often each end came
    for action in sampled(trials, 97):
        alone.keep_task(torch.tensor([number < 2 for number in episode]))
        one, after = alone.step(action), trials.step(action)
        assert torch.equal(after.reward, one.reward)
        assert not after.truncated.any()
        for b in range(7):
            so_far[b] += float(one.reward[b])
            ended, last = bool(one.ended[b]), episode[b] == 2
            assert bool(after.terminated[b]) == (ended and last)
            assert int(after.obs["prev_done"][b]) == (ended and not last)
            assert torch.equal(after.obs["obs"][b], one.obs["obs"][b])
            final = one.final_obs if ended and last else one.obs
            assert torch.equal(after.final_obs["obs"][b], final["obs"][b])
            seen += torch.tensor([ended and last, ended, bool(one.truncated[b])])
            if ended:
                first[b] = so_far[b] if episode[b] == 0 else first[b]
                if last:
                    assert float(after.metrics["first_return"][b]) == first[b]
                    assert float(after.metrics["last_return"][b]) == so_far[b]
                    assert after.metrics["success"][b] == one.metrics["success"][b]
                episode[b], so_far[b] = (episode[b] + 1) % 3, 0.0
    assert (seen > 3).all()


def test_the_last_reward_of_an_episode_is_seen_in_the_first_observation_of_the_next():
    env = make("probe/OneStep-v0", 5, seed=1, trial=3)
    obs = env.reset()
    task = obs["obs"]
    assert isinstance(env, Previous)
    assert isinstance(env.env, Trials)
    assert env.observation_space.keys() == {"obs", "prev_action", "prev_done", "prev_reward"}
    for episode in range(2):
        action = torch.full((5,), episode)
        after = env.step(action)
        assert torch.equal(after.obs["obs"], task)
        assert torch.equal(after.obs["prev_action"], action)
        assert torch.equal(after.obs["prev_reward"][:, 0], (task.argmax(1) == episode).float())
        assert after.obs["prev_done"].all()
        assert not after.ended.any()
    after = env.step(task.argmax(1))
    assert after.terminated.all()
    assert (after.final_obs["prev_reward"] == 1).all()
    assert not after.obs["prev_reward"].any()
    assert not after.obs["prev_done"].any()
    assert (after.obs["prev_action"] == 3).all()
    assert not (after.obs["obs"] == task).all(1).any()


def test_a_trial_of_one_episode_is_an_episode():
    env, alone = make("probe/Recall-v0", 5, seed=2, trial=1), make("probe/Recall-v0", 5, seed=2)
    env.reset(), alone.reset()
    for action in sampled(env, 13):
        after, one = env.step(action), alone.step(action)
        assert torch.equal(after.obs["obs"], one.obs["obs"])
        assert torch.equal(after.terminated, one.terminated)
        assert torch.equal(after.metrics["last_return"][one.ended], one.reward[one.ended])
        assert not after.obs["prev_done"].any()


@pytest.mark.parametrize("id", slow_but([*KINDS[:3], *KINDS[-2:]], WITHOUT_GOALS))
def test_trials_resume_bit_for_bit(id):
    env, other = (make(id, 5, seed=seed, trial=2, **few_levels(id)) for seed in (1, None))
    env.reset()
    actions = sampled(env, 41)
    for action in actions[:14]:
        obs = env.step(action).obs
    assert env.exact_resume
    loaded = other.load_state_dict(env.state_dict())
    assert all(torch.equal(loaded[key], obs[key]) for key in obs)
    for action in actions[14:]:
        one, two = env.step(action), other.step(action)
        assert all(torch.equal(one.obs[key], two.obs[key]) for key in obs)
        assert torch.equal(one.reward, two.reward)
        assert torch.equal(one.terminated, two.terminated)
        for name in one.metrics:
            ended = one.terminated
            torch.testing.assert_close(
                one.metrics[name][ended], two.metrics[name][ended], equal_nan=True
            )


@pytest.mark.parametrize("id", ["probe/Bandit-v0", "probe/TMaze-v0", "MiniGrid-DoorKey-5x5-v0"])
def test_a_trial_does_not_go_on_from_what_it_gave_out(id):
    env, spoilt = (make(id, 5, seed=1, trial=3, **few_levels(id)) for _ in "ab")
    env.reset()
    scribble(spoilt.reset())
    for action in sampled(env, 20):
        one, two = tensors(env.step(action)), spoilt.step(action)
        torch.testing.assert_close(tensors(two), one, rtol=0, atol=0, equal_nan=True)
        assert len({leaf.untyped_storage().data_ptr() for leaf in one}) == len(one)
        scribble(two)
        scribble(spoilt.env.state_dict() | {"env": {}})


def test_loading_a_trial_does_not_change_the_loaded_state():
    env = make("probe/Bandit-v0", 3, seed=1, trial=5)
    env.reset()
    env.step(torch.zeros(3, dtype=torch.long))
    state = env.state_dict()
    env.load_state_dict(state)
    for _ in range(3):
        env.step(torch.ones(3, dtype=torch.long))
    assert state["env"]["episode"].tolist() == [1, 1, 1]


def test_environments_without_tasks_to_keep_are_refused():
    with pytest.raises(ValueError, match=r"Previous cannot repeat a task.*allowed: tensor env"):
        Trials(Previous(Recall(2)), episodes=2)
    with pytest.raises(ValueError, match="a trial needs a task without goals"):
        Trials(Goal(2), episodes=2)
    with pytest.raises(ValueError, match="episodes is 0, allowed: at least 1"):
        Trials(Recall(2), episodes=0)
    with pytest.raises(ValueError, match="trial is 0"):
        make("probe/Recall-v0", trial=0)
    with pytest.raises(ValueError, match="already has the key 'prev_action'"):
        with_previous(make("probe/Recall-v0", trial=2), action=True, reward=False, antialias=False)


def test_a_trial_has_the_pictures_of_its_environment():
    assert can_render(make("MiniGrid-MemoryS7-v0", trial=2))
    assert make("MiniGrid-MemoryS7-v0", trial=2).render().ndim == 3
    assert not can_render(make("probe/Recall-v0", trial=2))


def test_an_exported_trial_is_an_episode():
    env = TensorVectorEnv(Trials(OneStep(2), episodes=2))
    obs, _ = env.reset(seed=1)
    assert obs["prev_done"].tolist() == [0, 0]
    obs, _, terminated, _, _ = env.step([0, 0])
    assert (obs["prev_done"].tolist(), terminated.tolist()) == ([1, 1], [False, False])
    *_, info = env.step([0, 0])
    assert {"first_return", "last_return"} <= set(info["final_info"])


def test_levels_of_one_episode_are_not_claimed_of_a_trial():
    assert card("probe/TMaze-v0", trial=3).levels is None
    assert card("MiniGrid-MemoryS13-v0", trial=3).levels is None
    assert card("CartPole-v1", trial=3).levels is None
    bandit = card("probe/Bandit-v0", trial=100, prev_action=True, arms=4)
    assert bandit.levels.lines() == {"optimal": pytest.approx(80), "blind guess": 50}
    config = memrl.compose(["env=probe/Bandit-v0", "env.trial=6"])
    assert references(config, success=False) == {"optimal": pytest.approx(5), "blind guess": 3}
    config = memrl.compose(["env=MiniGrid-MemoryS13-v0", "env.trial=6"])
    assert references(config, success=True) == {}


def test_an_evaluation_tells_the_first_and_last_returns_of_trials():
    class Best(WalkAgent):
        """Pulls an arm until it does not pay, then the next one."""

        def begin(self, seed=0, *, greedy=False, ablate=None):
            self.arm = torch.zeros(7, dtype=torch.long)

        def act(self, given, start=None):
            obs = given if isinstance(given, dict) else given.obs
            lost = (obs["prev_done"] == 1) & (obs["prev_reward"][:, 0] == 0)
            self.arm = (self.arm + lost) % 5
            return self.arm.clone()

    result = evaluate(Best(), make("probe/Bandit-v0", 7, trial=30), 3500, seed=1)
    known = result.as_dict()
    assert known["length"]["mean"] == 30
    assert known["first_return"]["mean"] == pytest.approx(0.5, abs=0.04)
    # Every arm is held for 1 / (1 - p) pulls on average, so that good ones are held longest.
    assert known["last_return"]["mean"] > 0.65
    assert "last return 0." in evaluation_line(result)
    plain = evaluate(Best(), make("probe/Bandit-v0", 7, trial=1), 7, seed=1)
    assert plain.last_return == plain.first_return == plain.return_


def test_the_memory_is_reset_at_the_start_of_a_trial_only():
    agent = make_agent("gru", env=make("probe/OneStep-v0", 5, seed=1, trial=4), steps=9, bptt=9)
    learn(agent, 1)
    start = agent.rollout.start
    assert torch.equal(start.nonzero()[:, 0].unique(), torch.tensor([0, 4, 8]))
    assert torch.equal(agent.rollout.obs["prev_done"], (~start).long())


def test_a_run_of_other_trials_is_not_continued(tmp_path):
    words = ["+run=smoke", "env=probe/Recall-v0", f"run.dir={tmp_path / 'run'}"]
    three, four = (memrl.compose([*words, f"env.trial={k}"]) for k in (3, 4))
    with open_directory(three, None, "env_steps", print) as (run, _):
        checkpoints_of(run, three).save({"agent": {}}, experience=64, score=None)
        with pytest.raises(CheckpointError, match=r"env.trial \(3 there, 4 here\)"):
            checkpoints_of(run, four).last()
