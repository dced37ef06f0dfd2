"""Action values: two heads that add up, and actions that are forbidden."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces

from memrl.policies.backbone import PolicyConfig
from memrl.policies.q_network import QNetwork, allowed, build_q_network

SPACE = spaces.Dict({"obs": spaces.Discrete(5), "action_mask": spaces.MultiBinary(3)})


def network(dueling: bool = True) -> QNetwork:
    torch.manual_seed(1)
    memory = {"name": "gru", "hidden_dim": 7}
    return build_q_network(SPACE, spaces.Discrete(3), memory, PolicyConfig(), dueling=dueling)


def see(mask: list[bool]):
    obs = {"obs": torch.tensor([4, 1]), "action_mask": torch.tensor([mask, [True] * 3])}
    return obs, torch.ones(2, dtype=torch.bool)


def test_dueling_heads_add_up_to_the_worth_of_the_history_on_average():
    net = network()
    obs, start = see([True, True, True])
    out = net.step(obs, net.initial_state(2), start)
    features, _ = net.sense(obs, net.initial_state(2), start)
    torch.testing.assert_close(out.q.mean(-1, keepdim=True), net.value(features))
    spread, advantage = out.q - out.q[:, :1], net.advantage(features)
    torch.testing.assert_close(spread, advantage - advantage[:, :1])


@pytest.mark.parametrize("dueling", [True, False])
def test_a_sequence_has_the_values_of_its_steps(dueling):
    net = network(dueling)
    obs, start = see([True, False, True])
    state, seen = net.initial_state(2), []
    for first in (True, False):
        step = net.step(obs, state, start & first)
        seen.append(step.q)
        state = step.state
    twice = {key: torch.stack([value, value]) for key, value in obs.items()}
    out = net(twice, net.initial_state(2), torch.stack([start, ~start]))
    torch.testing.assert_close(out.q, torch.stack(seen))


def test_forbidden_actions_are_worth_the_least_and_others_what_they_were():
    net = network()
    free, start = see([True, True, True])
    masked, _ = see([True, False, True])
    a, b = (net.step(obs, net.initial_state(2), start).q.detach() for obs in (free, masked))
    assert b[0, 1].item() == torch.finfo(b.dtype).min
    assert torch.equal(a[0, [0, 2]], b[0, [0, 2]])
    assert torch.equal(a[1], b[1])


def test_where_all_actions_are_forbidden_all_are_open():
    assert allowed(torch.tensor([[False, False], [True, False]])).tolist() == [
        [True, True],
        [True, False],
    ]


def test_actions_that_cannot_be_counted_are_refused():
    with pytest.raises(ValueError, match=r"MultiDiscrete.*, allowed for Q-learning: Discrete"):
        build_q_network(
            SPACE, spaces.MultiDiscrete([2, 2]), {"name": "gru"}, PolicyConfig(), dueling=True
        )
