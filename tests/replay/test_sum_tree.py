"""A sum tree against a list of priorities: the same sums, and draws in proportion to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.replay.sum_tree import SumTree

priority = st.sampled_from([0.0, 1e-9, 0.1, 1.0, 3.0, 1e6])


def tree_of(priorities: list[float]) -> SumTree:
    tree = SumTree(len(priorities))
    tree.set(torch.arange(len(priorities)), torch.tensor(priorities, dtype=torch.float64))
    return tree


def drawn_in_a_loop(priorities: list[float], fractions: list[float]) -> list[int]:
    """For each fraction of the total, the item at which the running sum passes it."""
    found = []
    for fraction in fractions:
        left, chosen = fraction * sum(priorities), -1
        for item, own in enumerate(priorities):
            if own > 0:
                chosen = item
                if left < own:
                    break
                left -= own
        found.append(chosen)
    return found


@settings(deadline=None)
@given(priorities=st.lists(priority, min_size=1, max_size=11), data=st.data())
def test_it_holds_the_priorities_that_were_set_last_and_their_sum(priorities, data):
    tree, want = tree_of(priorities), list(priorities)
    for _ in range(data.draw(st.integers(0, 4))):
        items = data.draw(st.lists(st.integers(0, len(want) - 1), min_size=1, unique=True))
        values = data.draw(st.lists(priority, min_size=len(items), max_size=len(items)))
        tree.set(torch.tensor(items), torch.tensor(values, dtype=torch.float64))
        for item, value in zip(items, values, strict=True):
            want[item] = value
    assert tree.priorities.tolist() == want
    assert float(tree.total) == pytest.approx(sum(want), rel=1e-12)


@settings(deadline=None)
@given(
    priorities=st.lists(st.integers(0, 5).map(float), min_size=1, max_size=11).filter(any),
    seed=st.integers(0, 99),
)
def test_draws_are_those_of_a_loop_over_the_items(priorities, seed):
    count = 7
    drawn = tree_of(priorities).sample(count, torch.Generator().manual_seed(seed))
    within = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    fractions = [(i + float(u)) / count for i, u in enumerate(within)]
    assert drawn.tolist() == drawn_in_a_loop(priorities, fractions)


def test_draws_are_in_proportion_and_stratified():
    priorities = [1.0, 0.0, 4.0, 2.0, 3.0]
    drawn = tree_of(priorities).sample(1000, torch.Generator().manual_seed(0))
    counts = drawn.bincount(minlength=5)
    # One from each thousandth of the total: off by the two at the ends of an item, at most.
    assert (counts - torch.tensor([100, 0, 400, 200, 300])).abs().max() <= 2


@settings(deadline=None)
@given(seed=st.integers(0, 999), lonely=st.integers(0, 6))
def test_what_has_no_priority_is_never_drawn_however_the_rest_rounds(seed, lonely):
    priorities = [0.0] * 7
    priorities[lonely] = 1e-300
    drawn = tree_of(priorities).sample(5, torch.Generator().manual_seed(seed))
    assert drawn.tolist() == [lonely] * 5


def test_sums_depend_on_nothing_but_the_priorities():
    values = torch.rand(13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slowly, at_once = SumTree(13), SumTree(13)
    for item in torch.randperm(13, generator=torch.Generator().manual_seed(2)).split(3):
        slowly.set(item, 7 * values[item])
        slowly.set(item, values[item])
    at_once.set(torch.arange(13), values)
    assert torch.equal(slowly._nodes, at_once._nodes)


def test_saving_and_loading_draws_the_same():
    tree = tree_of([0.3, 0.1, 0.7])
    other = SumTree(3)
    other.load_state_dict(tree.state_dict())
    assert torch.equal(tree._nodes, other._nodes)


def test_a_tree_of_another_size_is_refused():
    with pytest.raises(ValueError, match="the saved tree has 3 items; allowed: 4"):
        SumTree(4).load_state_dict(tree_of([1.0, 2.0, 3.0]).state_dict())


def test_a_tree_without_items_is_refused():
    with pytest.raises(ValueError, match="size is 0; allowed: at least 1 item"):
        SumTree(0)
