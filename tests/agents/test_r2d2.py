"""R2D2: what it learns from, what it reports, what it keeps."""

from __future__ import annotations

import json
import math
from functools import partial

import gymnasium
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from overwriting import Overwriting
from small_agents import make_agent
from small_r2d2 import learn_r2d2, make_r2d2
from suites import MEMORIES, slow_but

from memrl.agents.r2d2.agent import R2D2
from memrl.checkpoint.tree import Encoder, decode
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.make import make
from memrl.memory.state import leaves


def same_rows(a, b):
    assert [list(map(str, row.values())) for row in a] == [list(map(str, r.values())) for r in b]


def play_only(agent: R2D2, steps: int) -> torch.Tensor:
    """Act without learning; the values that acting saw: [steps, B, A]."""
    seen, step = [], agent.policy.step

    def watched(*args, **kwargs):
        out = step(*args, **kwargs)
        seen.append(out.q)
        return out

    agent.policy.step = watched
    for _ in range(steps):
        agent.collector.step(agent.replay)
    del agent.policy.step
    return torch.stack(seen)


def largest_difference(agent: R2D2, steps: int = 40) -> float:
    """Between values while acting and those of drawn sequences, unrolled from the stored state."""
    acted = play_only(agent, steps)
    batch = agent.replay.draw(1.0)
    with torch.no_grad():
        learned = agent.policy(batch.obs, batch.state, batch.steps["start"]).q
    return float((learned - acted[batch.drawn.time, batch.drawn.env]).abs().max())


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_sequence_from_its_stored_state_has_the_values_that_acting_saw(memory):
    assert largest_difference(make_r2d2(memory, dtype=torch.float64, batch=40)) < 1e-9


@pytest.mark.parametrize(
    "policy", [{"layers": 2}, {"skip": True}, {"head_dim": 5}], ids=["stacked", "skip", "head"]
)
def test_so_it_is_however_the_network_is_built(policy):
    agent = make_r2d2("ntm", dtype=torch.float64, policy=policy, dueling=False)
    assert largest_difference(agent) < 1e-9


def test_a_core_that_forgets_to_reset_is_caught(monkeypatch):
    agent = make_r2d2("ntm", dtype=torch.float64, batch=40)
    core = agent.policy.core
    faithful = core.forward
    monkeypatch.setattr(
        core, "forward", lambda x, state, start: faithful(x, state, torch.zeros_like(start))
    )
    assert largest_difference(agent) > 1e-6


@pytest.mark.parametrize("memory", MEMORIES)
def test_every_memory_learns(memory):
    agent = make_r2d2(memory, refresh_states=True)
    before = [p.detach().clone() for p in agent.policy.parameters()]
    row = learn_r2d2(agent, 2)[-1]
    assert math.isfinite(row["train/loss"])
    assert row["train/updates"] > 0
    moved = zip(before, agent.policy.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in moved)


def test_the_same_seed_gives_the_same_run_bit_for_bit():
    same_rows(*(learn_r2d2(make_r2d2("lstm", seed=5), 3) for _ in "ab"))


def test_another_seed_gives_another_run():
    assert learn_r2d2(make_r2d2(seed=5), 1) != learn_r2d2(make_r2d2(seed=6), 1)


def copies(state):
    """As a checkpoint gives it back."""
    encoder = Encoder()
    encoded = json.loads(json.dumps(encoder.encode(state, "")))
    return decode(encoded, encoder.tensors)


GOALS = {"hindsight": {"kind": "future"}}


@pytest.mark.parametrize(
    ("memory", "id", "config"),
    [
        ("gru", "probe/Recall-v0", {"refresh_states": True}),
        ("lstm", "probe/Recall-v0", {"rescale": 1e-3}),
        ("none", "probe/Goal-v0", GOALS),
    ],
)
@pytest.mark.parametrize("iterations", slow_but({7}, [1, 7]))  # before, after the replay is full
def test_a_saved_agent_goes_on_as_if_nothing_happened(memory, id, config, iterations):
    first, second = (make_r2d2(memory, make(id, 5), seed=s, **config) for s in (3, 99))
    learn_r2d2(first, iterations)
    second.load_state_dict(copies(first.state_dict()))
    same_rows(learn_r2d2(first, 2), learn_r2d2(second, 2))
    obs = make(id, 2, seed=8).reset(8)
    for agent in (first, second):
        agent.begin(7)
    assert all(torch.equal(first.act(obs, t == 0), second.act(obs, t == 0)) for t in range(9))


@pytest.mark.parametrize("memory", ["gru", "sam"])
def test_an_agent_that_goes_on_from_a_saved_state_leaves_it_as_it_was(memory):
    first, second = (make_r2d2(memory, seed=s, refresh_states=True) for s in (3, 99))
    learn_r2d2(first, 1)
    saved = copies(first.state_dict())
    kept = copies(saved)
    second.load_state_dict(saved)
    learn_r2d2(second, 1)
    torch.testing.assert_close(saved, kept, rtol=0, atol=0, equal_nan=True)


def unchanged(agent, state, match):
    before = copies(agent.state_dict())
    with pytest.raises(ValueError, match=match):
        agent.load_state_dict(state)
    after = agent.state_dict()
    for key, value in flat(before).items():
        assert torch.equal(value, flat(after)[key]), key


def flat(tree, path=""):
    if isinstance(tree, torch.Tensor):
        return {path: tree}
    if isinstance(tree, dict):
        return {k: v for key, item in tree.items() for k, v in flat(item, f"{path}.{key}").items()}
    return {path: torch.tensor(float("nan") if tree is None else tree).nan_to_num(-1)}


def test_a_state_of_another_agent_is_refused_and_nothing_is_changed():
    match = "not one of agent=r2d2: it lacks owed, updates, target, player, replay"
    unchanged(make_r2d2(), make_agent().state_dict(), match)


def test_a_state_of_another_memory_is_refused_and_nothing_is_changed():
    agent = make_r2d2("gru")
    learn_r2d2(agent, 1)
    unchanged(agent, make_r2d2("lstm").state_dict(), "the saved network is not the one configured")


def test_a_state_with_another_replay_is_refused_and_nothing_is_changed():
    agent, other = make_r2d2(), make_r2d2(replay={"capacity": 350})
    for each in (agent, other):
        learn_r2d2(each, 1)
    unchanged(agent, other.state_dict(), "the saved replay has capacity 70; allowed: 140")


def test_the_target_network_follows_every_so_many_updates():
    agent = make_r2d2(target_every=3, replay_ratio=0.5)
    learner = agent.learner
    play_only(agent, 30)
    for updates in range(1, 8):
        learner.improve(agent.replay, 1.0)
        online, target = agent.policy.state_dict(), learner.target.state_dict()
        equal = all(torch.equal(online[k], target[k]) for k in online)
        assert equal == (updates % 3 == 0)


def test_as_much_is_learned_from_as_the_replay_ratio_says():
    agent = make_r2d2(replay_ratio=1.5, replay={"fill": 300})
    rows = learn_r2d2(agent, 9)
    lived = 9 * 23 * 5
    want = 1.5 * (lived - 300) / (6 * 7)
    assert rows[-1]["train/updates"] == pytest.approx(want, abs=1)


def test_nothing_is_learned_before_the_replay_is_filled():
    row = learn_r2d2(make_r2d2(replay={"fill": 10_000}), 1)[0]
    assert row["train/updates"] == 0
    assert math.isnan(row["train/loss"])


def test_a_spilled_replay_learns_the_same(tmp_path):
    there = {"memory_limit": 1e-9, "folder": tmp_path}
    same_rows(learn_r2d2(make_r2d2(), 2), learn_r2d2(make_r2d2(replay=there), 2))


def test_the_burn_in_gets_no_gradient_and_no_loss():
    agent = make_r2d2("gru", dtype=torch.float64)
    play_only(agent, 40)
    batch = agent.replay.draw(1.0)
    seen = {k: v.double().requires_grad_() for k, v in batch.obs.items() if k == "prev_reward"}
    out = agent.learner._unroll(batch._replace(obs=batch.obs | seen))
    assert len(out.q) == 7 + 2
    (gradient,) = torch.autograd.grad(out.q.square().sum(), list(seen.values()))
    assert not gradient[:3].any()
    assert gradient[3:].flatten(1).any(1).all()


def test_refreshed_states_are_those_of_the_present_core():
    agent = make_r2d2("gru", dtype=torch.float64, refresh_states=True, lr=0.05, stride=4)
    play_only(agent, 40)
    before = [leaf.clone() for leaf in agent.replay.sequences.states.arrays.values()]
    twin = make_r2d2("gru", dtype=torch.float64, refresh_states=True, lr=0.05, stride=4)
    play_only(twin, 40)
    drift = agent.learner.improve(agent.replay, 1.0)["memory/state_drift"]
    assert float(drift) < 1e-9  # the network had not changed when these states were made
    for a, b in zip(before, agent.replay.sequences.states.arrays.values(), strict=True):
        torch.testing.assert_close(a, b)
    assert float(agent.learner.improve(agent.replay, 1.0)["memory/state_drift"]) > 1e-4


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("kind", ["final", "future", "episode"])
def test_states_of_another_goal_are_never_written_back(kind, share):
    """The network is that which acted, so every state of a true goal is what is stored already."""
    env = make("probe/Goal-v0", 5, size=2, dims=2)
    hindsight = {"kind": kind, "share": share}
    agent = make_r2d2("gru", env, dtype=torch.float64, refresh_states=True, stride=2,
                      hindsight=hindsight)  # fmt: skip
    play_only(agent, 60)
    kept = [leaf.clone() for leaf in agent.replay.sequences.states.arrays.values()]
    for _ in range(5):
        batch = agent.replay.draw(1.0)
        agent.learner._refresh(agent.replay, batch, agent.learner._unroll(batch).states_at)
    for old, new in zip(kept, agent.replay.sequences.states.arrays.values(), strict=True):
        torch.testing.assert_close(old, new)


def test_without_hindsight_no_goal_is_kept_twice():
    env = make("probe/Goal-v0", 5)
    plain = make_r2d2("none", env).replay.sequences.steps.arrays
    with_goals = make_r2d2("none", env, hindsight={"kind": "final"}).replay.sequences.steps.arrays
    assert set(with_goals) - set(plain) == {"achieved_after"}


def test_hindsight_without_goals_is_a_sentence():
    with pytest.raises(ValueError, match=r"agent\.hindsight needs .* observes action_mask, obs"):
        make_r2d2("none", make("probe/Masked-v0", 5), hindsight={"kind": "future"})


def test_hindsight_with_the_old_reward_in_view_is_a_sentence():
    env = make("probe/Goal-v0", 5, prev_reward=True)
    with pytest.raises(ValueError, match=r"changes rewards, which env\.prev_reward=true shows"):
        make_r2d2("none", env, hindsight={"kind": "future"})


def test_hindsight_works_beside_the_previous_action():
    env = make("probe/Goal-v0", 5, prev_action=True)
    row = learn_r2d2(make_r2d2("gru", env, hindsight={"kind": "future"}), 2)[-1]
    assert math.isfinite(row["train/loss"])


@pytest.mark.parametrize("id", ["Pendulum-v1"])
def test_actions_that_cannot_be_counted_are_a_sentence(id):
    with pytest.raises(
        ValueError, match=r"the action space is Box.*, allowed for Q-learning: Discrete"
    ):
        make_r2d2("gru", make(id, 2))


def test_a_replay_too_small_for_its_sequences_is_a_sentence():
    with pytest.raises(ValueError, match=r"7 for each of 5 environments, but a sequence takes 12"):
        make_r2d2(replay={"capacity": 50})


def test_a_replay_larger_than_the_memory_is_a_sentence():
    with pytest.raises(ValueError, match="the free "):
        make_r2d2(replay={"capacity": 10**15})


def test_masked_actions_are_never_taken_nor_hoped_for():
    agent = make_r2d2("gru", make("probe/Masked-v0", 7, seed=1), epsilon=1.0, epsilon_alpha=0.0)
    play_only(agent, 40)
    batch = agent.replay.draw(1.0)
    mask, action = batch.obs["action_mask"], batch.steps["action"]
    assert not mask.all()
    assert mask.gather(-1, action.unsqueeze(-1)).all()
    assert mask.gather(-1, agent.policy(*batch[:1], batch.state, batch.steps["start"]).q.argmax(
        -1, keepdim=True)).all()  # fmt: skip
    targets = agent.learner._targets(batch, agent.learner._unroll(batch).q.detach())
    assert targets.value[targets.known].abs().max() < 1e3
    agent.begin(1)
    obs = make("probe/Masked-v0", 50).reset(3)
    assert obs["action_mask"].gather(-1, agent.act(obs).unsqueeze(-1)).all()


def test_acting_does_not_touch_training():
    agent, alone = make_r2d2("gru"), make_r2d2("gru")
    agent.begin(1)
    obs = make("probe/Recall-v0", 4, delay=2, prev_action=True, prev_reward=True).reset(1)
    for t in range(3):
        agent.act(obs, t == 0)
    assert leaves(agent.memory_state())[0].shape[0] == 4
    same_rows(learn_r2d2(agent, 2), learn_r2d2(alone, 2))


def test_greedy_acting_takes_the_best_action_and_otherwise_explores_as_configured():
    agent = make_r2d2("none", epsilon_evaluate=0.5)
    env = make("probe/Recall-v0", 2000, delay=2, prev_action=True, prev_reward=True)
    obs = env.reset(1)
    start = torch.ones(2000, dtype=torch.bool)
    best = agent.policy.step(obs, agent.policy.initial_state(2000), start).q.argmax(-1)
    agent.begin(1, greedy=True)
    assert torch.equal(agent.act(obs), best)
    agent.begin(1)
    other = (agent.act(obs) != best).float().mean()
    assert float(other) == pytest.approx(0.5 * 3 / 4, abs=0.05)


def test_a_nan_loss_stops_before_it_spoils_the_network():
    agent = make_r2d2("gru")
    learn_r2d2(agent, 1)
    with torch.no_grad():
        agent.policy.value[-1].bias.fill_(math.nan)
    before = copies(dict(agent.policy.state_dict()))
    with pytest.raises(FloatingPointError, match=r"the Q loss .* became NaN or infinite after 115"):
        learn_r2d2(agent, 1)
    after = agent.policy.state_dict()
    assert all(torch.equal(before[k].nan_to_num(), after[k].nan_to_num()) for k in before)


def test_vector_observations_are_standardised_by_what_was_seen():
    agent = make_r2d2("gru", make("CartPole-v1", 3))
    rows = learn_r2d2(agent, 3)
    norm = agent.policy.encoder.parts[0].norm
    assert float(norm.count) >= 3 * 23 * 3
    targets = agent.learner.target.encoder.parts[0].norm
    assert torch.equal(targets.mean, norm.mean)
    assert rows[-1]["episode/count"] > 0


def test_what_stands_in_steps_that_are_not_valid_changes_nothing():
    losses = []
    for spoiled in (0.0, 1e6):
        agent = make_r2d2("gru", n_step=1)
        play_only(agent, 80)
        held = agent.replay.sequences.steps.arrays
        held["valid"][::3] = False  # such as those that follow a goal reached in hindsight
        held["reward"][::3] = spoiled
        losses.append(
            [float(agent.learner.improve(agent.replay, 1.0)["train/loss"]) for _ in "abc"]
        )
    assert losses[0] == losses[1]


@pytest.mark.parametrize("double", [True, False])
def test_the_target_network_judges_what_the_online_network_chooses(double):
    agent = make_r2d2("none", double=double, n_step=1, gamma=0.5, dtype=torch.float64)
    play_only(agent, 40)
    batch = agent.replay.draw(1.0)
    online = torch.zeros(7 + 1, 6, 4, dtype=torch.float64)
    online[..., 2] = 1.0
    targets = agent.learner._targets(batch, online)
    judged = agent.learner.target(batch.obs, batch.state, batch.steps["start"]).q[4:]
    value = judged[..., 2] if double else judged.max(-1).values
    goes_on = ~batch.steps["terminated"][3:-1]
    want = batch.steps["reward"][3:-1] + 0.5 * value * goes_on
    torch.testing.assert_close(targets.value, want)


def test_what_was_seen_is_kept_even_where_an_environment_writes_over_it():
    agent = make_r2d2("none", Overwriting())
    play_only(agent, 20)
    batch = agent.replay.draw(1.0)
    assert torch.equal(batch.obs["obs"], batch.drawn.time)


def test_where_environments_begin_anew_after_a_resume_no_target_reaches_across():
    first, second = (make_r2d2("gru", Overwriting()) for _ in "ab")
    play_only(first, 15)
    second.load_state_dict(copies(first.state_dict()))
    play_only(second, 1)
    starts = second.replay.sequences.steps.arrays["start"][:16]
    assert starts.all(1).nonzero().flatten().tolist() == [0, 15]


def test_reset_rows_of_a_next_step_environment_are_no_steps_and_not_learned_from():
    copies = [partial(gymnasium.make, "CartPole-v1")] * 3
    env = GymnasiumAdapter(SyncVectorEnv(copies, autoreset_mode=AutoresetMode.NEXT_STEP))
    agent = make_r2d2("gru", env, epsilon=1.0, epsilon_alpha=0.0)
    rows = learn_r2d2(agent, 6)
    held = agent.replay.sequences.steps
    assert agent.env_steps == int(held.arrays["valid"][: len(held)].sum())
    assert agent.env_steps < len(rows) * 23 * 3
    assert math.isfinite(rows[-1]["train/loss"])
