"""The graph of transitions against counts in plain dicts."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.memory.stores.transitions import END, UNSEEN, Steps, TransitionGraph, joined

A = 3


def graph(capacity=50, successors=4, **options):
    return TransitionGraph(A, capacity=capacity, successors=successors, **options)


def steps(*rows):
    """Steps of (key, action, reward, next key or None at an end)."""
    key, action, reward, after = zip(*rows, strict=True)
    return Steps(
        torch.tensor(key),
        torch.tensor(action),
        torch.tensor(reward, dtype=torch.float32),
        torch.tensor([-1 if x is None else x for x in after]),
        torch.tensor([x is None for x in after]),
        {},
        {},
    )


def edges(own):
    """(key, action, next key or None): (count, mean reward), of all transitions that are held."""
    key_of = {END: None, **dict(enumerate(own.rows.key[: own.rows.count].tolist()))} | {END: None}
    found = {}
    for node, action, slot in (own.count > 0).nonzero().tolist():
        after = key_of[int(own.next[node, action, slot])]
        at = node, action, slot
        name = key_of[node], action, after
        assert name not in found
        found[name] = int(own.count[at]), pytest.approx(float(own.reward[at]), rel=1e-5, abs=1e-6)
    return found


STEP = st.tuples(
    st.integers(0, 4), st.integers(0, A - 1), st.integers(-3, 3), st.none() | st.integers(0, 4)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(STEP, min_size=1, max_size=13), min_size=1, max_size=5))
def test_counts_and_mean_rewards_are_those_of_a_dict(batches):
    own, rewards = graph(successors=6), defaultdict(list)
    for batch in batches:
        own.add(steps(*batch))
        for key, action, reward, after in batch:
            rewards[key, action, after].append(reward)
    want = {name: (len(each), sum(each) / len(each)) for name, each in rewards.items()}
    assert edges(own) == want


def test_equal_rewards_have_exactly_their_value_as_the_mean():
    own = graph()
    for n in (3, 7, 1, 5):
        own.add(steps(*[(1, 0, 0.1, 2)] * n))
    assert own.reward[own.find(torch.tensor([1])), 0, 0] == torch.tensor(0.1)


def test_nodes_are_those_of_both_ends_of_a_step_but_not_of_what_follows_a_termination():
    own = graph()
    own.add(steps((1, 0, 0.0, 2), (2, 1, 1.0, None)))
    assert own.nodes == 2
    assert own.find(torch.tensor([1, 2, -1])).tolist() == [2, 3, UNSEEN]
    assert own.next[3, 1, 0] == END


def test_deterministic_tasks_need_room_for_one_next_node_only():
    own = graph()
    own.add(steps((1, 0, 0.0, 2), (1, 1, 0.0, 1), (1, 0, 0.0, 2)))
    assert own.next.shape[2] == 1
    own.add(steps((1, 0, 0.0, 3)))
    assert own.next.shape[2] == 2


def test_a_further_next_node_replaces_the_one_met_least_often():
    own = graph(successors=2)
    own.add(steps((1, 0, 0.0, 2), (1, 0, 0.0, 2), (1, 0, 5.0, 3)))
    own.add(steps((1, 0, 7.0, 4)))
    assert edges(own) == {(1, 0, 2): (2, 0.0), (1, 0, 4): (1, 7.0)}


def test_a_node_that_made_room_takes_the_edges_into_it_along():
    own = graph(capacity=3)
    own.add(steps((1, 0, 0.0, 2)))
    own.add(steps((3, 0, 0.0, 2), (3, 1, 0.0, 3)))  # 1 is the oldest now
    own.add(steps((2, 2, 0.0, 4)))  # in place of 1
    assert edges(own) == {(3, 0, 2): (1, 0.0), (3, 1, 3): (1, 0.0), (2, 2, 4): (1, 0.0)}
    own.add(steps((5, 0, 0.0, 5)))  # in place of 3
    own.add(steps((6, 0, 0.0, 5)))  # in place of 2 or 4, which are of one age
    assert all(key in {4, 5, 6, 2} for key, _, _ in edges(own))
    assert own.nodes == 3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(STEP, min_size=1, max_size=2), max_size=12))
def test_a_full_graph_holds_no_edge_to_what_it_gave_up(batches):
    own = graph(capacity=4, successors=2)
    for batch in batches:
        own.add(steps(*batch))
        held = set(own.rows.key[2 : own.rows.count].tolist()) | {None}
        assert all(key in held and after in held for key, _, after in edges(own))
        assert not own.count[:2].any()  # UNSEEN and END have no edges


def test_facts_are_kept_of_every_node():
    own = graph(facts={"mark": torch.zeros(2)})
    facts, after = ({"mark": torch.tensor([[x, x]] * 2)} for x in (1.0, 5.0))
    own.add(steps((1, 0, 0.0, 2), (2, 0, 0.0, None))._replace(facts=facts, next_facts=after))
    assert own.rows.held("mark").tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_batches_are_joined_in_order_without_what_is_no_step():
    one, two = steps((1, 0, 0.5, 2), (2, 1, 0.0, 3)), steps((3, 2, 1.0, None))
    facts = {"mark": torch.tensor([7.0, 8.0])}, {"mark": torch.tensor([9.0])}
    parts = [s._replace(facts=f, next_facts=f) for s, f in zip((one, two), facts, strict=True)]
    whole = joined(parts, torch.tensor([True, False, True]))
    assert whole.key.tolist() == [1, 3]
    assert whole.ended.tolist() == [False, True]
    assert whole.facts["mark"].tolist() == [7.0, 9.0]


def test_a_saved_graph_goes_on_as_the_own_one_whatever_room_it_has():
    one, other = graph(capacity=4), graph(capacity=4)
    one.add(steps((1, 0, 0.0, 2), (2, 1, 0.5, 1)))
    other.add(steps((5, 0, 0.0, 6), (5, 0, 0.0, 7), (5, 0, 0.0, None)))
    other.load_state_dict(one.state_dict())
    for own in (one, other):
        own.add(steps((3, 0, 0.0, 3), (2, 1, 1.0, 3), (9, 0, 0.0, None)))
    for name, value in one.state_dict().items():
        same = other.state_dict()[name]
        assert torch.equal(value, same) if isinstance(value, torch.Tensor) else value == same


def test_a_graph_with_more_next_nodes_or_other_actions_is_refused():
    wide = graph()
    wide.add(steps((1, 0, 0.0, 2), (1, 0, 0.0, 3)))
    with pytest.raises(ValueError, match="2 next nodes of an action, allowed: 1"):
        graph(successors=1).load_state_dict(wide.state_dict())
    other = TransitionGraph(A + 1, capacity=5, successors=2)
    with pytest.raises(ValueError, match=r"next is \(5, 3, 2\) .*, allowed: \(5, 4, 2\)"):
        other.load_state_dict(wide.state_dict())
