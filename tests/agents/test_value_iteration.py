"""Plans against plain loops, distances of a search, and plans of one goal alone."""

from __future__ import annotations

import math
import random

import pytest
import torch

from memrl.agents.planning.model import Model, estimate
from memrl.agents.planning.value_iteration import (
    Arrival,
    action_values,
    lookahead,
    value_iteration,
    worth,
)
from memrl.memory.stores.transitions import END, Steps, TransitionGraph

N, A, M, G = 11, 3, 2, 5


def random_model(seed, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    share = torch.rand(N, A, M, generator=draw, dtype=dtype)
    share[torch.rand(N, A, generator=draw) < 0.5, 1] = 0.0  # these actions have one next node
    return Model(
        next=torch.randint(N, (N, A, M), generator=draw),
        share=share / share.sum(dim=2, keepdim=True),
        reward=torch.randn(N, A, generator=draw, dtype=dtype),
        known=torch.rand(N, A, generator=draw) < 0.7,
        allowed=torch.rand(N, A, generator=draw) < 0.8,
    )


def random_arrival(seed, goals=G, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed + 100)
    reward = torch.randn(N, goals, generator=draw, dtype=dtype)
    return Arrival(reward, torch.rand(N, goals, generator=draw) < 0.8)


def by_loops(model, arrival, gamma, unknown, sweeps):
    """Values after some sweeps, for every goal, and Q by them."""

    def q_of(value, s, a, g):
        if not model.allowed[s, a] or (unknown is None and not model.known[s, a]):
            return -math.inf
        if not model.known[s, a]:
            return unknown
        q = float(model.reward[s, a])
        for j in range(M):
            after = int(model.next[s, a, j])
            future = gamma * value[after][g] if arrival.goes_on[after, g] else 0.0
            q += float(model.share[s, a, j]) * (float(arrival.reward[after, g]) + future)
        return q

    value = [[0.0] * G for _ in range(N)]
    for _ in range(sweeps):
        best = [[max(q_of(value, s, a, g) for a in range(A)) for g in range(G)] for s in range(N)]
        value = [[0.0 if x == -math.inf else x for x in row] for row in best]
    q = [[[q_of(value, s, a, g) for g in range(G)] for a in range(A)] for s in range(N)]
    return value, q


@pytest.mark.parametrize("unknown", [None, 0.7, -2.0])
@pytest.mark.parametrize("sweeps", [1, 2, 13])
@pytest.mark.parametrize("seed", range(3))
def test_plans_are_those_of_plain_loops(seed, sweeps, unknown):
    model, arrival = random_model(seed), random_arrival(seed)
    ahead = lookahead(model, unknown)
    plan = value_iteration(ahead, arrival, gamma=0.9, sweeps=sweeps)
    value, q = by_loops(model, arrival, 0.9, unknown, sweeps)
    torch.testing.assert_close(plan.value, torch.tensor(value, dtype=torch.float64))
    found = action_values(ahead, worth(plan.value, arrival, 0.9))
    torch.testing.assert_close(found, torch.tensor(q, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_in_a_deterministic_graph_a_node_is_worth_the_discount_to_the_power_of_its_distance(seed):
    draw = random.Random(seed)
    after = [[draw.randrange(2, N) for _ in range(A)] for _ in range(N)]
    after[2][1] = END  # pays 1
    one = torch.ones(N, A, dtype=torch.bool)
    reward = torch.zeros(N, A, dtype=torch.float64)
    reward[2, 1] = 1.0
    model = Model(torch.tensor(after).unsqueeze(2), one.double().unsqueeze(2), reward, one, one)
    goes_on = torch.ones(N, 1, dtype=torch.bool)
    goes_on[END] = False
    arrival = Arrival(torch.zeros(N, 1, dtype=torch.float64), goes_on)
    plan = value_iteration(lookahead(model, None), arrival, gamma=0.5, sweeps=100)

    distance, ring = {END: 0}, [END]
    while ring:
        ring = [s for s in range(N) if s not in distance and set(after[s]) & set(ring)]
        distance |= dict.fromkeys(ring, max(distance.values()) + 1)
    want = [0.5 ** (distance[s] - 1) if s in distance else 0.0 for s in range(2, N)]
    assert plan.value[2:, 0].tolist() == want
    assert plan.sweeps.tolist() == [max(distance.values())]


def test_every_goal_has_the_plan_that_it_would_have_alone_to_the_last_bit():
    goals = 37
    model, arrival = random_model(0, torch.float32), random_arrival(0, goals, torch.float32)
    ahead = lookahead(model, 0.3)
    together = value_iteration(ahead, arrival, gamma=0.97, sweeps=500)
    for g in range(goals):
        alone = value_iteration(ahead, arrival.column(torch.tensor([g])), gamma=0.97, sweeps=500)
        assert torch.equal(alone.value[:, 0], together.value[:, g])
        assert alone.sweeps[0] == together.sweeps[g]


def graph_of(*rows):
    """A graph of steps (key, action, reward, next key)."""
    key, action, reward, after = zip(*rows, strict=True)
    graph = TransitionGraph(A, capacity=20, successors=3)
    ended = torch.zeros(len(key), dtype=torch.bool)
    steps = Steps(torch.tensor(key), torch.tensor(action), torch.tensor(reward),
                  torch.tensor(after), ended, {}, {})  # fmt: skip
    graph.add(steps)
    return graph


def test_the_model_is_the_share_and_the_mean_of_what_was_seen():
    graph = graph_of((1, 0, 1.0, 1), (1, 0, 3.0, 1), (1, 0, 9.0, 2), (1, 2, 0.5, 2))
    one = int(graph.find(torch.tensor([1])))
    model = estimate(graph, visits=1, beta=0.0)
    assert model.share[one, 0].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert model.reward[one].tolist() == pytest.approx([13 / 3, 0.0, 0.5])
    assert model.known[one].tolist() == [True, False, True]
    assert model.allowed.all()


def test_an_action_is_known_after_some_visits_and_few_of_them_earn_a_bonus():
    graph = graph_of((1, 0, 1.0, 1), (1, 0, 3.0, 1), (1, 0, 8.0, 2), (1, 2, 0.5, 2))
    one = int(graph.find(torch.tensor([1])))
    model = estimate(graph, visits=2, beta=0.3)
    assert model.known[one].tolist() == [True, False, False]
    assert model.reward[one, 0] == pytest.approx(4.0 + 0.3 / 3**0.5)
