"""What a transformer attends to, as it acts."""

from __future__ import annotations

import pytest
import torch
from small_agents import make_agent
from torch import nn

from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.inspector.attention import Attention
from memrl.inspector.record import record_episodes
from memrl.memory.ops.attention import Ring, rotate, window
from memrl.memory.parts.attention import RelativeAttention


def recall(num):
    return make("probe/Recall-v0", num, delay=2, prev_action=True, prev_reward=True)


@pytest.mark.parametrize("age", [0, 2, 5, 8])
def test_both_ways_of_reading_the_past_tell_the_same_weights(age):
    torch.manual_seed(3)
    layer = RelativeAttention(7, heads=2, head_dim=3).double()
    norm = nn.LayerNorm(7, elementwise_affine=True).double()
    ring, x = torch.randn(3, 1, 5, 7).double(), torch.randn(3, 7).double()
    ages = torch.full((3,), float(age), dtype=torch.float64)
    told = []
    layer.watch = told.append
    layer.recall(x, Ring(ring, 0, ages), norm)
    layer(x.unsqueeze(1), rotate(ring[:, 0], ages), window(ages.unsqueeze(1), 5))
    by_ring, in_order = told
    assert by_ring.shape == (3, 2, 6)
    torch.testing.assert_close(by_ring, in_order)


@pytest.mark.parametrize("memory", ["gtrxl", "compressive"])
def test_attention_is_recorded_newest_first_and_sums_to_one(memory):
    agent = make_agent(memory, memory_options={"layers": 2, "memory_len": 5, "heads": 2})
    arrays = record_episodes(agent, recall(2), Acting(5)).episodes[0].arrays
    assert {"0.attention", "1.attention"} <= set(arrays)
    weights = torch.from_numpy(arrays["1.attention"])
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 2))
    for step in range(4):
        assert (weights[step, :, : step + 1] > 0).all()
        assert (weights[step, :, step + 1 :] == 0).all()


def test_layers_are_unwatched_afterwards():
    agent = make_agent("gtrxl", memory_options={"layers": 1, "memory_len": 5})
    watched = Attention(agent.policy)
    watched.close()
    layers = [part for part in agent.policy.modules() if isinstance(part, RelativeAttention)]
    assert [layer.watch for layer in layers] == [None]
