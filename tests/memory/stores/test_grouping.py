"""Items by the number that they share, against plain loops."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.memory.stores.grouping import first_alike, group_by, rows_by

NUMBERS = st.lists(st.integers(0, 4), min_size=1, max_size=17)


@given(numbers=NUMBERS)
@settings(max_examples=30, deadline=None)
def test_groups_keep_the_order_of_their_items(numbers):
    groups = group_by(torch.tensor(numbers))
    assert groups.number.tolist() == sorted(set(numbers))
    assert groups.size.tolist() == [numbers.count(number) for number in sorted(set(numbers))]
    assert groups.number[groups.group].tolist() == numbers
    assert groups.rank.tolist() == [numbers[:i].count(n) for i, n in enumerate(numbers)]


@given(numbers=NUMBERS)
@settings(max_examples=30, deadline=None)
def test_every_item_lies_in_the_row_of_its_number(numbers):
    items = torch.randn(len(numbers), 3)
    table, rank = rows_by(torch.tensor(numbers), items, 7)
    assert torch.equal(table[torch.tensor(numbers), rank], items)
    assert (table != 0).any(dim=-1).sum() == len(numbers)  # the rest is zero


def test_the_first_alike_has_the_same_number_and_a_key_within_the_tolerance():
    keys = torch.tensor([[0.0], [1.0], [0.05], [1.0], [0.0], [5.0]])
    numbers = torch.tensor([0, 0, 0, 1, 0, 0])
    assert first_alike(keys, numbers, 0.1).tolist() == [0, 1, 0, 3, 0, 5]


def test_a_chain_of_keys_that_are_alike_is_one():
    keys = torch.arange(5).unsqueeze(1) * 0.1
    assert first_alike(keys, torch.zeros(5, dtype=torch.int64), 0.15).tolist() == [0] * 5
