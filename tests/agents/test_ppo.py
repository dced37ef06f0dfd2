"""PPO: what it learns from, what it reports, what it keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_agents import learn, make_agent

from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import BonusConfig, PPOConfig
from memrl.agents.ppo.rates import Rates
from memrl.envs.make import make
from memrl.losses.ppo import moments
from memrl.memory.state import map_state
from memrl.nn.encoder import Encoder
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv, Transition


def test_the_same_seed_gives_the_same_run_bit_for_bit():
    a, b = (learn(make_agent("ntm", seed=5), 3) for _ in "ab")
    assert [list(map(str, row.values())) for row in a] == [
        list(map(str, row.values())) for row in b
    ]


def test_another_seed_gives_another_run():
    assert learn(make_agent(seed=5), 1) != learn(make_agent(seed=6), 1)


@pytest.mark.parametrize("memory", ["gru", "dnc"])
def test_a_saved_agent_goes_on_as_if_nothing_happened(memory):
    bonus = BonusConfig(kind="first_visit", key="obs")
    first = make_agent(memory, bonus=bonus, normalise_returns=True)
    learn(first, 2)
    saved = first.state_dict()
    second = make_agent(memory, seed=99, bonus=bonus, normalise_returns=True)
    second.load_state_dict(_through_copies(saved))
    for a, b in zip(learn(first, 2), learn(second, 2), strict=True):
        assert {k: str(v) for k, v in a.items()} == {k: str(v) for k, v in b.items()}


@pytest.mark.parametrize("memory", ["gru", "sam"])
def test_an_agent_that_goes_on_from_a_saved_state_leaves_it_as_it_was(memory):
    first = make_agent(memory)
    learn(first, 1)
    saved = _through_copies(first.state_dict())["collector"]
    kept = _through_copies(saved)
    second = make_agent(memory, seed=99).collector
    second.load_state_dict(saved)
    second.collect(first.rollout)
    torch.testing.assert_close(saved, kept, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", ["count", "novelty_difference", "elliptical"])
def test_a_saved_agent_goes_on_with_its_bonus(kind):
    bonus = BonusConfig(kind=kind, key="obs", scale=0.5)
    first, second = (make_agent(bonus=bonus, seed=seed) for seed in (3, 99))
    learn(first, 2)
    saved = _through_copies(first.state_dict())
    kept = _through_copies(saved)
    second.load_state_dict(saved)
    for a, b in zip(learn(first, 2), learn(second, 2), strict=True):
        assert a["rollout/bonus"] > 0
        assert {k: str(v) for k, v in a.items()} == {k: str(v) for k, v in b.items()}
    torch.testing.assert_close(saved, kept, rtol=0, atol=0, equal_nan=True)


def test_a_bonus_draws_nothing_from_anyone_else():
    rows = [
        learn(make_agent(bonus=BonusConfig(kind=kind, key="obs", scale=scale)), 2)[-1]
        for kind, scale in (("first_visit", 0.0), ("novelty_difference", 0.0))
    ]
    shared = [name for name in rows[0] if not name.startswith("bonus/")]
    assert {n: str(rows[0][n]) for n in shared} == {n: str(rows[1][n]) for n in shared}


@pytest.mark.parametrize("kind", ["novelty_difference", "elliptical"])
def test_a_learned_bonus_is_reported_and_paid_in_deviations(kind):
    agent = make_agent(bonus=BonusConfig(kind=kind, key="obs", anneal=None))
    rows = learn(agent, 2)
    assert all(row["bonus/loss"] > 0 and row["bonus/spread"] > 0 for row in rows)
    paid = 0.02 * float(agent.rollout.bonus.mean())
    assert rows[-1]["rollout/bonus"] == pytest.approx(paid)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["novelty_difference", "elliptical"])
@pytest.mark.parametrize("id", ["CartPole-v1", "probe/Pixels-v0", "Pendulum-v1"])
def test_a_learned_bonus_reads_spaces_of_every_kind(kind, id):
    env = make(id, 4, seed=2, prev_action=True, prev_reward=True)
    row = learn(make_agent("gru", env, bonus=BonusConfig(kind=kind)), 2)[-1]
    assert math.isfinite(row["bonus/loss"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"alpha": 0.7, "kind": "first_visit"},
            "agent.bonus.alpha=0.7 is not read by .*first_visit",
        ),
        ({"ridge": 0.7, "kind": "count"}, r"ridge=0.7 .*kind=count \(it is by elliptical\)"),
        ({"capacity": 9, "kind": "elliptical"}, "capacity=9 is not read by .*kind=elliptical"),
        ({"lr": 0.1, "kind": "count"}, "lr=0.1 .*by elliptical, novelty_difference"),
        ({"scale": 0.1}, "agent.bonus.scale=0.1 is not read by agent.bonus.kind=none"),
    ],
)
def test_an_option_that_the_kind_does_not_read_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        BonusConfig(**options)


def _through_copies(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _through_copies(item) for key, item in value.items()}
    return value


def test_states_are_stored_at_chunk_starts_only():
    agent = make_agent("dnc")
    state = agent.collector.state
    kept = sum(leaf.numel() for leaf in _leaves(agent.rollout.states))
    assert kept == 3 * sum(leaf.numel() for leaf in _leaves(state))  # 21 steps in chunks of 7


def _leaves(state):
    from memrl.memory.state import leaves

    return leaves(state)


def test_a_state_of_another_memory_is_refused_by_name():
    with pytest.raises(ValueError, match="not the one configured"):
        make_agent("gru").load_state_dict(make_agent("lstm").state_dict())


def test_every_parameter_is_in_the_optimiser_once():
    agent = make_agent("ntm", policy={"layers": 2, "skip": True})
    mine = [id(p) for group in agent.learner.optimizer.param_groups for p in group["params"]]
    assert sorted(mine) == sorted(id(p) for p in agent.policy.parameters())


def test_lr_memory_freezes_the_core_alone():
    agent = make_agent("gru", lr_memory=0.0)
    core = [p.detach().clone() for p in agent.policy.core.parameters()]
    actor = agent.policy.actor.layer.weight.detach().clone()
    learn(agent, 1)
    assert all(torch.equal(a, b) for a, b in zip(core, agent.policy.core.parameters(), strict=True))
    assert not torch.equal(actor, agent.policy.actor.layer.weight)


def test_the_learning_rate_decays_to_its_end_over_the_run():
    agent = make_agent(lr=1e-3, lr_end=0.0, entropy=0.1, entropy_end=0.0)
    rows = []
    agent.learn(105 * 4, lambda row: rows.append(row))
    rates = [row["train/lr"] for row in rows]
    np.testing.assert_allclose(rates, [1e-3, 7.5e-4, 5e-4, 2.5e-4], rtol=1e-6)


def test_a_nan_loss_stops_before_it_spoils_the_policy():
    agent = make_agent("gru")
    learn(agent, 1)
    with torch.no_grad():
        agent.policy.critic.bias.fill_(math.nan)
    before = {k: v.clone() for k, v in agent.policy.state_dict().items()}
    with pytest.raises(FloatingPointError, match=r"value loss.* became NaN or infinite after 105"):
        learn(agent, 1)
    after = agent.policy.state_dict()
    assert all(torch.equal(before[k], after[k]) or k == "critic.bias" for k in before)


def test_a_target_kl_ends_the_epochs_early():
    patient = make_agent(lr=0.05, epochs=6)
    hasty = make_agent(lr=0.05, epochs=6, target_kl=1e-6)
    learn(patient, 1), learn(hasty, 1)
    steps = [agent.learner.optimizer.state_dict()["state"][0]["step"] for agent in (patient, hasty)]
    assert steps == [18, 3]


def test_refreshed_states_are_those_of_the_present_core():
    agent = make_agent("gru", refresh_states=True, lr=0.01)
    rows = learn(agent, 1)
    assert rows[0]["memory/state_drift"] > 0
    out = agent.policy(
        {k: v[:7] for k, v in agent.rollout.obs.items()},
        type(agent.collector.state)(*(leaf[0] for leaf in agent.rollout.states)),
        agent.rollout.start[:7],
    )
    agent.learner.refresh_states(agent.rollout)
    torch.testing.assert_close(agent.rollout.states.h[1], out.state.h)


def test_losses_of_unequal_chunks_are_those_of_a_loop_over_their_steps():
    agent = make_agent("gru", steps=20, dtype=torch.float64)
    agent.collector.collect(agent.rollout)
    agent._compute_advantages()
    r, policy = agent.rollout, agent.policy
    cut = r.chunks(torch.arange(r.num_chunks()))
    assert cut.valid.sum(0).tolist() == [7] * 10 + [6] * 5
    rates = Rates(lr=1e-3, entropy=0.01, clip=0.2, value_clip=None)
    _, total, _ = agent.learner._loss(cut, *moments([(cut.advantage, cut.valid)]), rates)
    found = torch.autograd.grad(total, list(policy.parameters()))

    wanted_total = torch.zeros((), dtype=torch.float64)
    gain = (r.advantage - r.advantage.mean()) / (r.advantage.std() + 1e-8)
    for b in range(5):
        for c, steps in enumerate((range(7), range(7, 14), range(14, 20))):
            state = map_state(lambda kept: kept[c, b][None], r.states)  # noqa: B023
            for t in steps:
                obs = {key: value[t, b][None] for key, value in r.obs.items()}
                out = policy.step(obs, state, r.start[t, b][None])
                state = out.state
                ratio = (out.actions.log_prob(r.action[t, b][None]) - r.log_prob[t, b]).exp()
                surrogate = torch.minimum(ratio * gain[t, b], ratio.clamp(0.8, 1.2) * gain[t, b])
                error = 0.5 * (out.value - r.target[t, b]).square()
                bonus = 0.01 * out.actions.entropy()
                wanted_total = wanted_total + (0.5 * error - surrogate - bonus).sum()
    wanted = torch.autograd.grad(wanted_total / 100, list(policy.parameters()))
    torch.testing.assert_close(total, wanted_total / 100)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("steps", [20, 5, 22])
def test_rollouts_of_any_length_are_learned_from(steps):
    rows = learn(make_agent("gru", steps=steps, minibatches=2, dtype=torch.float64), 2)
    assert max(row["train/ratio_error"] for row in rows) < 1e-9


def test_more_minibatches_than_chunks_are_refused():
    with pytest.raises(ValueError, match=r"agent\.minibatches=16, allowed: at most 15"):
        make_agent(minibatches=16)


def test_a_bonus_on_an_unknown_entry_names_those_that_exist():
    with pytest.raises(ValueError, match=r"bonus.key 'image' is no entry .*obs, prev_action"):
        make_agent(bonus=BonusConfig(kind="first_visit", key="image"))


class Tape(BatchedEnv):
    """Records what the policy is shown; the actions it gets do not matter."""

    exact_resume = True

    def __init__(self):
        self.num_envs, self.device = 3, torch.device("cpu")
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(5)})
        self.action_space = spaces.Discrete(2)
        self.t = 0

    def reset(self, seed=None):
        return self._obs()

    def step(self, action):
        self.t += 1
        never = torch.zeros(3, dtype=torch.bool)
        ended = torch.full((3,), self.t % 4 == 0)
        obs = self._obs()
        return Transition(obs, torch.full((3,), float(self.t)), ended, never, obs, {})

    def state_dict(self):
        return {"t": self.t}

    def load_state_dict(self, state):
        self.t = state["t"]
        return self._obs()

    def _obs(self):
        return {"obs": torch.arange(3) + self.t % 3}


def test_the_policy_sees_the_same_with_and_without_a_bonus():
    from memrl.envs.wrappers import Previous

    seen = []
    for scale in (0.0, 1.0):
        bonus = BonusConfig(kind="first_visit", scale=scale, key="obs")
        agent = make_agent(env=Previous(Tape()), bonus=bonus)
        agent.collector.policy.actor.layer.weight.data.zero_()  # the same actions for both
        agent.collector.collect(agent.rollout)
        seen.append(
            {k: v.clone() for k, v in agent.rollout.obs.items()} | {"r": agent.rollout.reward}
        )
        assert agent.rollout.bonus.sum() > 0
    for key in seen[0]:
        assert torch.equal(seen[0][key], seen[1][key]), key


def test_the_bonus_is_paid_beside_the_reward_and_anneals():
    bonus = BonusConfig(kind="first_visit", scale=1.0, key="obs", anneal=210.0)
    agent = make_agent(bonus=bonus)
    rows = learn(agent, 3)
    assert [row["rollout/bonus_scale"] for row in rows] == [1.0, 0.5, 0.0]
    assert rows[0]["rollout/bonus"] > 0
    assert rows[2]["rollout/bonus"] == 0
    assert all(row["episode/return"] <= 1.0 for row in rows)


@pytest.mark.parametrize(
    "id",
    ["CartPole-v1", "Pendulum-v1", "probe/Pixels-v0", "probe/Masked-v0"],
)
def test_spaces_of_every_kind_take_a_learning_step(id):
    env = make(id, 4, seed=2, prev_action=True, prev_reward=True)
    row = learn(make_agent("gru", env, normalise_returns=True), 2)[-1]
    assert math.isfinite(row["train/value"])


def test_masked_actions_are_never_taken():
    env = make("probe/Masked-v0", 7, seed=1)
    agent = make_agent("gru", env)
    agent.collector.collect(agent.rollout)
    mask = agent.rollout.obs["action_mask"]
    assert not mask.all()
    assert mask.gather(-1, agent.rollout.action.unsqueeze(-1)).all()


def test_gradients_are_reported_by_distance_and_end_at_the_horizon():
    row = learn(make_agent("framestack"), 1)[0]  # three frames: a gradient reaches two steps back
    assert row["memory/reach_1"] > 0
    assert row["memory/reach_4"] == 0
    assert learn(make_agent("gru"), 1)[0]["memory/reach_4"] > 0


def test_bf16_learns_the_same_within_its_precision():
    full, half = (learn(make_agent("gru", precision=p), 1)[0] for p in ("float32", "bf16"))
    assert half["train/ratio_error"] < 0.05
    assert abs(full["train/value"] - half["train/value"]) < 0.05


class Halved(Encoder):
    """Its last layer is a product, which autocast makes in half precision."""

    def __init__(self):
        super().__init__()
        self.features_dim, self.layer = 3, torch.nn.Linear(1, 3)

    def forward(self, obs):
        return self.layer(obs["obs"].unsqueeze(-1).float())


@pytest.mark.parametrize("memory", ["none", "lstm", "ntm"])
def test_bf16_learns_with_an_encoder_of_ones_own(memory):
    env = make("probe/Recall-v0", 5)
    spaces = env.observation_space, env.action_space
    policy = build_policy(*spaces, {"name": memory}, PolicyConfig(skip=True), encoders=[Halved()])
    config = PPOConfig(steps=6, bptt=3, minibatches=1, precision="bf16")
    (row,) = learn(PPO(env, policy, config, seed=1), 1)
    assert row["train/ratio_error"] < 0.05


def test_what_a_core_says_that_it_costs_is_learned_from():
    heedless, heeding = (make_agent("act", core_cost=weight) for weight in (0.0, 1.0))
    for agent in (heedless, heeding):
        (row,) = learn(agent, 1)
        assert row["train/core_cost"] > 0
    learned = [agent.policy.core.state_dict() for agent in (heedless, heeding)]
    assert any(not torch.equal(learned[0][name], learned[1][name]) for name in learned[0])
