"""Two ranks with n environments learn what one process with 2n learns."""

from __future__ import annotations

import math
import time

import pytest
import torch
from ranks import on_ranks
from small_agents import learn, make_agent, without_times
from small_r2d2 import make_r2d2

from memrl.agents.ppo.agent import PPO
from memrl.distributed.collectives import mean_over_ranks, rank
from memrl.envs.make import make
from memrl.memory.state import map_state

ROWS = 3  # environments of a rank
BONUSES = ("elliptical", "novelty_difference", "count")


def env(rows):
    return make("probe/Recall-v0", rows, delay=2, prev_action=True, prev_reward=True)


def agent(memory, rows):
    """An agent whose minibatch is the whole rollout: the order of chunks is of no weight."""
    return make_agent(
        memory,
        env(rows),
        dtype=torch.float64,
        minibatches=1,
        epochs=3,
        normalise_returns=True,
        max_grad_norm=0.05,
    )


def collected(memory):
    """A rollout of the environments of all ranks, with steps that do not count."""
    whole = agent(memory, 2 * ROWS)
    whole.collect()
    r = whole.rollout
    r.valid[torch.rand(r.valid.shape, generator=torch.Generator().manual_seed(5)) < 0.2] = False
    r.valid[:, -1] = False
    return whole


def give(part: PPO, whole: PPO, rows: slice) -> None:
    """Give an agent these environments' part of a rollout."""
    r, all_of = part.rollout, whole.rollout
    part.collect()
    for (
        name
    ) in "action log_prob value reward bonus bootstrap start terminated truncated valid".split():
        getattr(r, name).copy_(getattr(all_of, name)[:, rows])
    for key, value in r.obs.items():
        value.copy_(all_of.obs[key][:, rows])
    map_state(lambda own, others: own.copy_(others[:, rows]), r.states, all_of.states)
    r.last_value.copy_(all_of.last_value[rows])


def learned(agent: PPO) -> dict[str, torch.Tensor]:
    """Gradients of the last step, weights, statistics and means after an iteration."""
    scale, averages = agent.improve(0.0)
    agent._update_normalisation()
    grads = {
        f"gradient of {n}": p.grad for n, p in agent.policy.named_parameters() if p.grad is not None
    }
    metrics = agent._metrics(averages, scale)
    names = [n for n in metrics if n.startswith(("train/", "grad_norm/", "rollout/reward"))]
    means = mean_over_ranks(torch.tensor([metrics[n] for n in names], dtype=torch.float64))
    return {
        **grads,
        **agent.policy.state_dict(),
        **agent.return_norm.state_dict(prefix="returns."),
        **dict(zip(names, means, strict=True)),
    }


def on_one_rank(memory):
    whole, part = collected(memory), agent(memory, ROWS)
    part.policy.load_state_dict(whole.policy.state_dict())
    give(part, whole, slice(rank() * ROWS, (rank() + 1) * ROWS))
    return learned(part)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["gru", "dnc", "gtrxl"])
def test_ranks_learn_what_one_process_learns_from_all_their_environments(memory):
    wanted = learned(collected(memory))
    for found in on_ranks(on_one_rank, memory):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(
                found[name], value, rtol=1e-6, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}"
            )


def ppo_learned(options):
    """The rows and the weights of an agent of this rank's own environments."""
    ours = make_agent(env=env(ROWS), seed=3 + rank(), **options)
    rows = learn(ours, 4)
    parts = [ours.policy, ours.learner.auxiliary]
    if ours.collector.bonus is not None:
        parts += vars(ours.collector.bonus).values()
    return rows, [part.state_dict() for part in parts if isinstance(part, torch.nn.Module)]


OPTIONS = [
    *({"bonus": {"kind": kind}} for kind in BONUSES),
    {"self_imitation": {"kind": "episodes", "longest": 5, "updates": 2, "batch": 3}},
    {"auxiliary": {"kind": "predict"}, "target_kl": 1e-4, "epochs": 4},
    {"memory_options": {"grow": 20, "grow_above": 0.01, "slots": 5}, "memory": "memnn"},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(next(iter(options.values()))))
def test_all_that_learns_is_the_same_on_every_rank(options):
    (rows, ours), (_, theirs) = on_ranks(ppo_learned, options)
    assert rows[-1]["grad_norm/all"] > 0
    for here, there in zip(ours, theirs, strict=True):
        for name, value in here.items():
            assert torch.equal(value, there[name]), name


@pytest.mark.slow
def test_ranks_repeat_bit_for_bit():
    first, second = (on_ranks(ppo_learned, {"bonus": {"kind": "elliptical"}}) for _ in "ab")
    assert str(first) == str(second)


@pytest.mark.slow
def test_ranks_have_experience_of_their_own():
    (ours, _), (theirs, _) = on_ranks(ppo_learned, {})
    assert ours[0]["rollout/reward"] != theirs[0]["rollout/reward"]


def r2d2_learned():
    ours = make_r2d2(env=env(ROWS), seed=3 + rank(), auxiliary={"kind": "predict"})
    rows = []
    total = 3 * 2 * ROWS * ours.config.steps
    ours.learn(total, lambda row: rows.append(without_times(row)))
    return rows, ours.env_steps, [ours.policy.state_dict(), ours.learner.target.state_dict()]


@pytest.mark.slow
def test_r2d2_learns_the_same_on_every_rank_from_replays_of_their_own():
    ours, theirs = on_ranks(r2d2_learned)
    assert ours[0][-1]["train/updates"] > 1
    assert ours[0][-1]["train/loss"] != theirs[0][-1]["train/loss"]
    assert ours[1] == theirs[1] == 3 * 2 * ROWS * 23
    for here, there in zip(ours[2], theirs[2], strict=True):
        for name, value in here.items():
            assert torch.equal(value, there[name]), name
    assert str(on_ranks(r2d2_learned)) == str([ours, theirs])


def diverged():
    """What an agent says whose environments return NaN on rank 1."""
    ours = make_agent(env=env(ROWS), seed=3)
    before = [weight.clone() for weight in ours.policy.parameters()]
    if rank() == 1:
        ours.collector.env.step = with_nan(ours.collector.env.step)
    try:
        learn(ours, 3)
    except FloatingPointError as error:
        same = all(map(torch.equal, before, ours.policy.parameters()))
        return str(error), same, ours.iteration


def with_nan(step):
    def poisoned(action):
        transition = step(action)
        return transition._replace(reward=transition.reward * math.nan)

    return poisoned


@pytest.mark.slow
def test_a_loss_that_is_not_finite_on_one_rank_ends_all_before_the_same_step():
    ours, theirs = on_ranks(diverged)
    assert ours[1:] == theirs[1:] == (True, 0)
    assert "became NaN or infinite after 0 env steps" in ours[0]


def waited():
    """The shares of time of an agent whose environments are slow on rank 1."""
    ours, rows = make_agent(env=env(ROWS), seed=3), []
    step = ours.collector.env.step
    ours.collector.env.step = lambda action: (time.sleep(0.03 * rank()), step(action))[1]
    ours.learn(4 * 21 * ROWS, rows.append)
    return rows[-1]


@pytest.mark.slow
def test_where_a_rank_waits_for_slow_environments_is_measured():
    fast, slow = on_ranks(waited)
    assert fast["time/waiting"] > slow["time/waiting"]
    assert slow["time/env"] > fast["time/env"]
    for row in (fast, slow):
        parts = [row[f"time/{part}"] for part in ("env", "acting", "learning", "waiting")]
        assert 0.5 < sum(parts) < 1.0001
