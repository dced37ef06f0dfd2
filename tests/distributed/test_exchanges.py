"""How often ranks wait for one another in an iteration of PPO."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch.distributed as dist
from ranks import on_ranks
from small_agents import make_agent, sequences

from memrl.agents.ppo.config import RehearsalConfig

EPOCHS, MINIBATCHES = 5, 3
STEPS = EPOCHS * MINIBATCHES
# Beside the gradients of each step and, once an epoch, the moments of all its advantages: the
# number of env steps, the first ratio, and two numbers of steps that metrics are means over.
USUAL = STEPS + EPOCHS + 4
REHEARSES = RehearsalConfig(runs=("somewhere",), chunks=4)
OPTIONS = {
    "": ({}, USUAL),
    "auxiliary": ({"auxiliary": {"kind": "predict"}}, USUAL + STEPS),
    "target_kl": ({"target_kl": 100.0}, USUAL + EPOCHS),
    "rehearsal": ({"rehearsal": REHEARSES}, USUAL + EPOCHS),
    "rehearsal with vtrace": (
        {"rehearsal": REHEARSES.model_copy(update={"vtrace": 1.0})},
        USUAL + EPOCHS + STEPS,
    ),
    "normalise_returns": ({"normalise_returns": True}, USUAL + 2),
}


def exchanges():
    """The exchanges between the first and the second report of an agent, by option."""
    return {name: counted(options) for name, (options, _) in OPTIONS.items()}


def counted(options):
    agent = make_agent(epochs=EPOCHS, minibatches=MINIBATCHES, **options)
    if "rehearsal" in options:
        agent.rehearse([sequences()])
    calls, at_reports = [], []

    def counting(name):
        original = getattr(dist, name)

        def call(*arguments, **how):
            calls.append(name)
            return original(*arguments, **how)

        return patch.object(dist, name, call)

    with counting("all_reduce"), counting("all_gather"), counting("broadcast"):
        agent.learn(4 * agent.rollout.start.numel(), lambda _: at_reports.append(len(calls)))
    return at_reports[1] - at_reports[0]


@pytest.mark.slow
def test_ranks_meet_once_a_step_and_once_an_epoch():
    assert on_ranks(exchanges) == [{name: number for name, (_, number) in OPTIONS.items()}] * 2
