"""A ring of items: what is held, where it lies, and that it survives saving bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memrl.replay.ring import Ring


def items(low: int, high: int) -> dict[str, torch.Tensor]:
    number = torch.arange(low, high)
    return {"number": number, "square": (number.double() ** 2).unsqueeze(1).expand(-1, 3)}


def held(ring: Ring) -> list[int]:
    return sorted(ring.take(torch.arange(len(ring)))["number"].tolist())


@given(capacity=st.integers(1, 7), sizes=st.lists(st.integers(0, 7), max_size=9))
def test_a_ring_holds_the_last_items(capacity, sizes):
    ring, added = Ring(capacity, items(0, 1)), 0
    for size in sizes:
        size = min(size, capacity)
        slots = ring.add(items(added, added + size))
        added += size
        assert ring.take(slots)["number"].tolist() == list(range(added - size, added))
    assert held(ring) == list(range(max(0, added - capacity), added))


def test_all_arrays_of_an_item_stay_together():
    ring = Ring(5, items(0, 1))
    for low in (0, 3, 6):
        ring.add(items(low, low + 3))
    drawn = ring.take(ring.sample(50, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn["square"][:, 2], drawn["number"].double() ** 2)
    assert set(drawn["number"].tolist()) == {4, 5, 6, 7, 8}


def test_a_loaded_ring_goes_on_as_the_saved_one():
    ring, other = Ring(5, items(0, 1)), Ring(5, items(0, 1))
    ring.add(items(0, 4))
    ring.add(items(4, 8))
    other.load_state_dict(ring.state_dict())
    for each in (ring, other):
        each.add(items(8, 10))
    for name in ring.arrays:
        assert torch.equal(ring.arrays[name], other.arrays[name])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (Ring(4, items(0, 1)), "the saved replay has capacity 5; allowed: 4"),
        (Ring(5, {"number": torch.zeros(1)}), r"holds number int64 \[\], square float64 \[3\]"),
    ],
)
def test_what_another_replay_saved_is_refused_and_nothing_lost(other, sentence):
    ring = Ring(5, items(0, 1))
    ring.add(items(0, 3))
    with pytest.raises(ValueError, match=sentence):
        other.load_state_dict(ring.state_dict())
    assert len(other) == 0


def test_more_items_than_fit_are_refused():
    ring = Ring(3, items(0, 1))
    with pytest.raises(ValueError, match="4 items are added at once; allowed: at most 3"):
        ring.add(items(0, 4))
    with pytest.raises(ValueError, match="capacity is 0; allowed: at least 1 item"):
        Ring(0, items(0, 1))
