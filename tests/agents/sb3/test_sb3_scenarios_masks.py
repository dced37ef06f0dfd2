"""What MaskablePPO's users do, done with `MemoryPPO`: masks that can be turned off and measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from small_models import BOX, STEPS, Sampled, copies, make_model
from stable_baselines3.common.callbacks import EventCallback, StopTrainingOnNoModelImprovement
from stable_baselines3.common.vec_env import DummyVecEnv
from suites import slow, slow_but

from memrl.agents.sb3 import EvalCallback, evaluate_policy

PARTS = {
    "discrete": (spaces.Discrete(7), [7]),
    "multidiscrete": (spaces.MultiDiscrete([2, 3]), [2, 3]),
    "multibinary": (spaces.MultiBinary(3), [2, 2, 2]),
}
KINDS = slow_but(
    {("discrete", False), ("multidiscrete", True), ("multibinary", False)},
    [(kind, in_dict) for kind in PARTS for in_dict in (False, True)],
)
PER = 2 * STEPS


class Repeats(Sampled):
    """Pays 1 for an action that repeats the observation; ``others`` more are allowed."""

    def __init__(self, kind="discrete", *, others=0, in_dict=False):
        space, self.parts = PARTS[kind]
        super().__init__(space, space)
        self.others, self.in_dict = others, in_dict
        if in_dict:
            self.observation_space = spaces.Dict({"obs": self.observation_space})

    def reset(self, **kwargs):
        self.seen, info = super().reset(**kwargs)
        return self.seen, info

    def step(self, action):
        right = np.array_equal(self.value(), action)
        self.seen, _, *rest = super().step(action)
        return (self.seen, float(right), *rest)

    def value(self):
        return self.seen["obs"] if self.in_dict else self.seen

    def action_masks(self):
        chosen = zip(self.parts, np.reshape(self.value(), -1), strict=True)
        mask = np.concatenate([np.eye(n, dtype=bool)[int(part)] for n, part in chosen])
        mask[np.random.permutation(np.flatnonzero(~mask))[: self.others]] = True
        return mask


def model_in(**given):
    return make_model(copies(lambda: Repeats(**given)))


@pytest.mark.parametrize(("kind", "in_dict"), KINDS)
def test_an_untrained_model_is_right_where_only_that_is_allowed(kind, in_dict):
    model = model_in(kind=kind, in_dict=in_dict)
    mean, _ = evaluate_policy(model, copies(lambda: Repeats(kind, in_dict=in_dict)), 4)
    assert mean == 5


@pytest.mark.parametrize(("kind", "in_dict"), KINDS)
def test_a_model_learns_while_some_wrong_actions_are_allowed(kind, in_dict):
    model = model_in(kind=kind, others=1, in_dict=in_dict).learn(PER)
    mask = model.rollout_buffer.obs["action_mask"]
    assert set(mask.sum(-1).flatten().tolist()) == {len(PARTS[kind][1]) + 1}
    evaluate_policy(model, model.get_env(), 2)


def test_an_episode_that_time_cut_off_is_bootstrapped_beside_masks():
    model = make_model(TimeLimit(Repeats(others=2), 3)).learn(2 * STEPS)
    rollout = model.rollout_buffer
    assert rollout.truncated.any()
    assert rollout.bootstrap[rollout.truncated].all()


@pytest.mark.parametrize("normalize", [slow(True), False])
def test_advantages_may_stay_as_they_are_beside_masks(normalize):
    env = copies(lambda: Repeats(others=2))
    make_model(env, normalize_advantage=normalize).learn(PER)


def test_masks_can_be_turned_off_in_evaluation():
    model, env = model_in(), copies(Repeats)
    masked, _ = evaluate_policy(model, env, 8, use_masking=True)
    free, _ = evaluate_policy(model, env, 8, use_masking=False)
    assert masked == 5
    assert free < 4


def test_masks_can_be_turned_off_while_evaluating_in_training():
    model = model_in()
    masked, free = (
        EvalCallback(copies(Repeats), n_eval_episodes=8, eval_freq=STEPS, verbose=0, **given)
        for given in ({}, {"use_masking": False})
    )
    model.learn(PER, callback=[masked, free])
    assert masked.last_mean_reward == 5
    assert free.last_mean_reward < 4


def test_masks_can_be_turned_off_in_learning():
    def forbidden_and_taken(model):
        rollout = model.rollout_buffer
        return int((rollout.action != rollout.obs["obs"]).sum())

    model = model_in()
    assert forbidden_and_taken(model.learn(PER)) == 0
    assert forbidden_and_taken(model.learn(PER, use_masking=False)) > 4
    assert forbidden_and_taken(model.learn(PER, reset_num_timesteps=False)) == 0
    free = model.learn(PER, reset_num_timesteps=False, use_masking=False)
    assert free.rollout_buffer.obs["action_mask"].all()


def test_masks_that_are_asked_for_must_be_there():
    model, env = make_model(), copies()
    for use in (
        lambda: model.learn(PER, use_masking=True),
        lambda: evaluate_policy(model, env, 2, use_masking=True),
        lambda: model.learn(PER, EvalCallback(env, eval_freq=2, verbose=0, use_masking=True)),
    ):
        with pytest.raises(ValueError, match=r"use_masking=True .* without a method action_masks"):
            use()
    model.learn(PER, use_masking=False)
    evaluate_policy(model, env, 2, use_masking=False)


class Shows(Sampled):
    """The only action that pays is the only one that the mask in the observation allows."""

    def __init__(self):
        parts = {"obs": spaces.Discrete(7), "action_mask": spaces.MultiBinary(7)}
        super().__init__(spaces.Dict(parts), spaces.Discrete(7))

    def reset(self, **kwargs):
        _, info = super().reset(**kwargs)
        return self.draw(), info

    def step(self, action):
        right = float(action == self.right)
        _, _, *rest = super().step(action)
        return (self.draw(), right, *rest)

    def draw(self):
        self.right = np.random.randint(7)
        return {"obs": self.right, "action_mask": np.eye(7, dtype=np.int8)[self.right]}


def test_masks_within_the_observation_can_be_turned_off():
    model, env = make_model(copies(Shows)), copies(Shows)
    model.learn(PER, use_masking=True)
    assert float(model.rollout_buffer.reward.mean()) == 1
    model.learn(PER, use_masking=False)
    assert float(model.rollout_buffer.reward.mean()) < 1
    masked, free = (evaluate_policy(model, env, 4, use_masking=use)[0] for use in (True, False))
    assert masked == 5 > free


def test_callbacks_of_the_masked_evaluation_are_called():
    better, stop = EventCallback(), StopTrainingOnNoModelImprovement(1, 2)
    callback = EvalCallback(
        copies(lambda: Repeats(others=2)),
        eval_freq=STEPS,
        verbose=0,
        callback_on_new_best=better,
        callback_after_eval=stop,
    )
    model_in(others=2).learn(2 * PER, callback=callback)
    assert stop.n_calls == 2 >= better.n_calls > 0


def random_mask(env):
    mask = np.ones(env.action_space.n, bool)
    mask[np.random.randint(env.action_space.n)] = False
    return mask


@pytest.mark.parametrize("shared", [slow(True), False])
def test_sb3_contribs_wrapper_gives_masks_over_pictures(shared):
    wrappers = pytest.importorskip("sb3_contrib.common.wrappers", reason="pip install sb3-contrib")
    space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    env = DummyVecEnv([lambda: wrappers.ActionMasker(Sampled(space), random_mask)])
    words = {"share_features_extractor": shared, "critic": "shared" if shared else "own"}
    model = make_model(env, policy=words).learn(STEPS)
    assert model.rollout_buffer.obs["action_mask"].sum(-1).unique().tolist() == [2]
    evaluate_policy(model, env, 2, warn=False)


def test_sb3_contribs_wrapper_takes_the_name_of_a_method():
    wrappers = pytest.importorskip("sb3_contrib.common.wrappers", reason="pip install sb3-contrib")

    class Names(Sampled):
        def mine(self, env):
            return [False, True, False]

    model = make_model(wrappers.ActionMasker(Names(), "mine")).learn(STEPS)
    assert model.rollout_buffer.actions.mean() == 1


def test_sb3_contribs_evaluation_drops_the_state_and_is_warned_of():
    contrib = pytest.importorskip(
        "sb3_contrib.common.maskable.evaluation", reason="pip install sb3-contrib"
    )
    with pytest.warns(UserWarning, match="predict was called again without the state"):
        contrib.evaluate_policy(model_in(), copies(Repeats), 2)
    without = make_model(copies(Repeats), memory="none")
    assert contrib.evaluate_policy(without, copies(Repeats), 2)[0] == 5


def probabilities(model, mask):
    obs = np.zeros((len(mask), 4), np.float32)
    distribution, _ = model.policy.get_distribution(obs, action_masks=np.array(mask))
    return distribution.distribution.probs.detach(), distribution.entropy().detach()


@pytest.mark.parametrize("n", [3, 992])
def test_the_entropy_counts_the_actions_that_are_allowed(n):
    model = make_model(copies(lambda: Sampled(BOX, spaces.Discrete(n))), double=True)
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.zero_()
    for k in (1, 2, n):
        probs, entropy = probabilities(model, [np.arange(n) < k])
        torch.testing.assert_close(entropy.exp(), torch.tensor([float(k)]).double())
        torch.testing.assert_close(probs.sum(-1), torch.ones(1).double())
        assert not probs[0, k:].any()


def test_a_mask_rescales_the_probabilities_of_the_others_at_any_scale():
    model = make_model(copies(lambda: Sampled(BOX, spaces.Discrete(5))), double=True)
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(torch.tensor([40.0, 10.0, 0.0, -30.0, -17.0]))
    masks = [[1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]
    probs, entropy = probabilities(model, masks)
    for row, mask in zip(probs, torch.tensor(masks).double(), strict=True):
        torch.testing.assert_close(row, mask * probs[0] / (mask * probs[0]).sum())
    assert torch.isfinite(entropy).all()
    assert float(entropy[-1]) == pytest.approx(0)
