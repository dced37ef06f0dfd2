"""An episode that time cut off is worth what would have come, as its own memory sees it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import MEMORIES, STEPS, Sampled, Watch, logged, make_model
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from memrl.memory import state as states

GAMMA, LAM = 0.9, 0.7
ROWS = ((3, True), (4, False), (5, True), (STEPS, True), (99, False))  # length, cut off by time?
B = len(ROWS)


def recorded(memory):
    """A model that cannot learn, and all that it was shown: observations, answers, by step."""
    env = DummyVecEnv([lambda n=n, late=late: Sampled(length=n, late=late) for n, late in ROWS])
    seen = []

    def look(callback):
        local = callback.locals
        seen.append({key: local[key] for key in ("new_obs", "rewards", "dones", "infos")})

    model = make_model(
        env,
        memory,
        double=True,
        normalize_returns=False,
        gamma=GAMMA,
        gae_lambda=LAM,
        learning_rate=lambda left: 0.0,
        batch_size=STEPS * B,
    )
    return model, seen, Watch(look)


def value(net, obs, state, start):
    with torch.no_grad():
        out = net.step({"obs": torch.as_tensor(obs)}, state, torch.as_tensor(start))
    return out.value.tolist(), out.state


def oracle(net, first, seen, state, start):
    """Advantages as sums over single steps, with one value after another."""
    obs, values, after = first, [], []
    for answer in seen:
        v, state = value(net, obs, state, start)
        values.append(v)
        after.append(state)
        obs, start = answer["new_obs"], answer["dones"]
    values.append(value(net, obs, state, start)[0])
    advantage = np.zeros((len(seen), B))
    for b in range(B):
        running = 0.0
        for t in reversed(range(len(seen))):
            info, done = seen[t]["infos"][b], seen[t]["dones"][b]
            later = values[t + 1][b]
            if done:
                running, later = 0.0, 0.0
            if info["TimeLimit.truncated"]:
                row = states.select(after[t], torch.tensor([b]))
                last = info["terminal_observation"][None]
                later = value(net, last, row, [False])[0][0]
            delta = float(seen[t]["rewards"][b]) + GAMMA * later - values[t][b]
            running = delta + GAMMA * LAM * running
            advantage[t, b] = running
    return advantage, state, start, obs


@pytest.mark.parametrize("memory", MEMORIES)
def test_advantages_are_those_of_plain_loops(memory):
    model, seen, watch = recorded(memory)
    net = model.policy.net
    model.learn(STEPS * B, callback=watch)
    first = model.rollout_buffer.obs["obs"][0].numpy()
    want, state, start, obs = oracle(net, first, seen, net.initial_state(B), np.ones(B, bool))
    assert sum(info["TimeLimit.truncated"] for step in seen for info in step["infos"]) == 4
    np.testing.assert_allclose(model.rollout_buffer.advantage.numpy(), want, atol=1e-9)
    seen.clear()
    model.learn(STEPS * B, callback=watch, reset_num_timesteps=False)  # the state goes on
    want, *_ = oracle(net, obs, seen, state, start)
    np.testing.assert_allclose(model.rollout_buffer.advantage.numpy(), want, atol=1e-9)


def test_the_state_before_the_reset_matters():
    """The same observation is worth something else to a memory that was reset before it."""
    model, seen, watch = recorded("gru")
    net = model.policy.net
    model.learn(STEPS * B, callback=watch)
    rollout = model.rollout_buffer
    cut_off = rollout.truncated.nonzero().tolist()
    last = np.stack([seen[t]["infos"][b]["terminal_observation"] for t, b in cut_off])
    forgotten, _ = value(net, last, net.initial_state(len(last)), [True] * len(last))
    known = [float(rollout.bootstrap[t, b]) for t, b in cut_off]
    assert np.abs(np.subtract(known, forgotten)).max() > 1e-6


def test_termination_is_worth_nothing_more():
    model, _, watch = recorded("lstm")
    model.learn(STEPS * B, callback=watch)
    rollout = model.rollout_buffer
    assert rollout.terminated.any()
    assert not rollout.bootstrap[rollout.terminated].any()
    assert not (rollout.terminated & rollout.truncated).any()


def test_ratios_of_the_first_minibatch_are_one_over_many_episodes():
    model, _, watch = recorded("ntm")
    rows = logged(model)
    model.learn(3 * STEPS * B, callback=watch)
    assert max(row["train/ratio_error"] for row in rows[1:]) < 1e-9


def test_without_its_last_observation_an_episode_cut_off_is_not_bootstrapped():
    class Forgets(VecEnvWrapper):
        """A wrapper that passes on that time ran out, and not what was seen then."""

        def reset(self):
            return self.venv.reset()

        def step_wait(self):
            obs, rewards, dones, infos = self.venv.step_wait()
            for info in infos:
                info.pop("terminal_observation", None)
            return obs, rewards, dones, infos

    env = Forgets(DummyVecEnv([lambda: Sampled(length=3, late=True)]))
    model = make_model(env, "gru", n_steps=6, batch_size=6)
    model.learn(6)
    assert not model.rollout_buffer.truncated.any()
    assert int(model.rollout_buffer.terminated.sum()) == 2
    assert not model.rollout_buffer.bootstrap.any()
