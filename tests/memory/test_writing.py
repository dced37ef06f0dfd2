"""Rules that write a word into slots, against plain loops, and what they leave in the books."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from memrl import memory
from memrl.memory.ops.reading import READ
from memrl.memory.ops.writing import ASKED, WRITE, New, Slots, empty_slots, put

B, N, W = 3, 5, 2
STEPS = 17
LIKE = torch.zeros((), dtype=torch.float64)


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def some_slots(**books):
    zeros = torch.zeros(B, N, dtype=torch.float64)
    known = {"age": zeros, "usage": zeros, "importance": zeros, "filled": zeros + 1, **books}
    return Slots(**{"memory": rand(B, N, W), **known})


def new(word=None, rule="oldest", importance=0.0, likeness=0.9):
    asked = ASKED[rule](N, W) if rule in ASKED else 0
    word = rand(B, W) if word is None else word
    return New(word, torch.full((B, 1), importance, dtype=torch.float64), rand(B, asked), likeness)


def write(rule, slots, item, looks=None):
    looks = torch.zeros(B, N, dtype=torch.float64) if looks is None else looks
    return put(slots, item, WRITE[rule](slots, item), looks, 0.5)


def history(rule, words, looks=None, slots=None):
    """Memories after every word, and the slots at the end."""
    slots = empty_slots(LIKE, B, N, W) if slots is None else slots
    seen = []
    for t, word in enumerate(words):
        slots = write(rule, slots, new(word, rule), None if looks is None else looks[t])
        seen.append(slots.memory)
    return torch.stack(seen), slots


def test_the_words_of_the_configuration_are_the_rules():
    options = memory.schema("memnn").model_fields
    assert get_args(options["write"].annotation) == tuple(WRITE)
    assert get_args(options["read"].annotation) == (*READ, "sampled")


def test_append_fills_the_slots_in_order_and_then_stops():
    words = rand(STEPS, B, W)
    seen, slots = history("append", words)
    for t in range(STEPS):
        for i in range(N):
            want = words[i] if i <= t else torch.zeros_like(words[0])
            assert torch.equal(seen[t][:, i], want)
    assert slots.filled.all()


def test_oldest_is_a_ring():
    words = rand(STEPS, B, W)
    seen, slots = history("oldest", words)
    ring = [torch.zeros_like(words[0])] * N
    for t in range(STEPS):
        ring[t % N] = words[t]
        assert torch.equal(seen[t], torch.stack(ring, dim=1))
    want = [(STEPS - 1 - i) % N for i in range(N)]
    assert slots.age.tolist() == [want] * B


def test_least_used_replaces_what_was_looked_at_least():
    words, looks = rand(STEPS, B, W), rand(STEPS, B, N).softmax(-1)
    seen, _ = history("least_used", words, looks)
    for b in range(B):
        stored, usage = [None] * N, [0.0] * N
        for t in range(STEPS):
            slot = stored.index(None) if None in stored else usage.index(min(usage))
            usage = [0.5 * u + looks[t, b, i].item() for i, u in enumerate(usage)]
            stored[slot], usage[slot] = words[t, b], 1.0
            for i in range(N):
                want = torch.zeros(W, dtype=torch.float64) if stored[i] is None else stored[i]
                assert torch.equal(seen[t][b, i], want)


def test_merge_averages_with_the_nearest_above_the_threshold():
    slots = some_slots(age=torch.tensor([[4.0, 1, 3, 9, 2]]).double().repeat(B, 1))
    item = new(slots.memory[:, 2] * 3 + 0.01)
    after = write("merge", slots, item)
    torch.testing.assert_close(after.memory[:, 2], (slots.memory[:, 2] + item.word) / 2)
    assert torch.equal(after.age[:, 2], torch.full((B,), 2.0).double())  # the mean of 4 and 0
    others = [0, 1, 3, 4]
    assert torch.equal(after.memory[:, others], slots.memory[:, others])


def test_merge_replaces_the_oldest_where_nothing_is_alike():
    slots = some_slots(age=torch.tensor([[4.0, 1, 3, 9, 2]]).double().repeat(B, 1))
    slots = slots._replace(memory=slots.memory.abs())
    item = new(-torch.ones(B, W).double())
    after = write("merge", slots, item)
    assert torch.equal(after.memory[:, 3], item.word)


def test_an_empty_slot_is_never_like_a_word():
    slots = empty_slots(LIKE, B, N, W)
    item = new(torch.zeros(B, W).double(), likeness=-0.5)
    for _ in range(2):  # the second word is like the first memory, and not like the empty slots
        slots = write("merge", slots, item._replace(word=item.word + 1))
    assert slots.filled.sum(1).tolist() == [1.0] * B


def test_gated_matches_the_definition():
    slots, item = some_slots(importance=rand(B, N).sigmoid()), new(rule="gated")
    after = write("gated", slots, item)
    for b in range(B):
        query, preference, gate = item.asked[b, :W], item.asked[b, W:-1], item.asked[b, -1]
        urge = [(slots.memory[b, i] @ query / W**0.5 + preference[i]).exp() for i in range(N)]
        for i in range(N):
            g = gate.sigmoid() * urge[i] / sum(urge) * (1 - slots.importance[b, i])
            want = slots.memory[b, i] + g * (item.word[b] - slots.memory[b, i])
            torch.testing.assert_close(after.memory[b, i], want)


def test_gated_slots_that_begin_alike_come_apart():
    slots = empty_slots(LIKE, B, N, W)
    slots = write("gated", slots, new(rule="gated"))
    apart = (slots.memory[:, 1:] - slots.memory[:, :1]).abs().sum(-1)
    assert (apart > 1e-3).all()


@pytest.mark.parametrize("rule", ["oldest", "least_used", "merge"])
def test_an_important_memory_is_kept_longer(rule):
    ages = torch.tensor([[9.0, 8, 7, 6, 5]]).double().repeat(B, 1)
    importance = torch.tensor([[1.0, 0.9, 0.1, 0.9, 0.9]]).double().repeat(B, 1)
    slots = some_slots(age=ages, importance=importance)
    slots = slots._replace(memory=slots.memory.abs())
    item = new(-torch.ones(B, W).double(), importance=0.25)
    after = write(rule, slots, item)
    assert torch.equal(after.memory[:, 2], item.word)
    assert (after.importance[:, 2] == 0.25).all()


@pytest.mark.parametrize("rule", ["append", "oldest", "least_used", "merge"])
def test_a_written_word_is_there_bit_for_bit_and_the_books_begin_anew(rule):
    item = new(rule=rule, importance=0.5)
    after = write(rule, empty_slots(LIKE, B, N, W), item)
    assert torch.equal(after.memory[:, 0], item.word)
    assert not after.memory[:, 1:].any()
    books = (after.age[:, 0], after.usage[:, 0], after.importance[:, 0], after.filled[:, 0])
    assert [book.tolist() for book in books] == [[0.0] * B, [1.0] * B, [0.5] * B, [1.0] * B]
