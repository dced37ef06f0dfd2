"""NEC's dictionaries: closed forms, and writes one by one against writes of a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.memory.ops.kernel import kernel_weights
from memrl.memory.stores import dnd
from memrl.memory.stores.dnd import Dictionaries, largest, towards
from memrl.memory.stores.entries import ROOM
from memrl.memory.stores.grouping import first_alike

A, W = 3, 2


def store(capacity=5, rule=None, actions=A, width=W, **options):
    rule = rule or towards(0.1)
    return Dictionaries(actions, width, capacity=capacity, rule=rule, tolerance=1e-3, **options)


def hold(dictionaries, action, keys, values):
    keys = torch.tensor(keys, dtype=torch.float32)
    values = torch.tensor(values, dtype=torch.float32)
    return dictionaries.write(torch.full((len(keys),), action), keys, values)


def read(dictionaries, action, query, p, delta):
    h = torch.tensor([query], dtype=torch.float32)
    near = dictionaries.near_of(h, torch.tensor([action]), p)
    weights = kernel_weights(h.unsqueeze(1), near.keys, near.found, delta)
    return (weights * near.values).sum().item()


def values_of(dictionaries, action):
    held = dictionaries.entries.held[action]
    return dictionaries.entries.values[action, :held].tolist()


def test_one_neighbour_reads_the_value_of_the_nearest_key():
    own = store()
    hold(own, 1, [[0, 0], [4, 0], [9, 9]], [5, 7, 9])
    assert read(own, 1, [3, 0], 1, 1e-3) == 7


def test_a_key_that_is_met_again_weighs_one_over_delta():
    own = store()
    hold(own, 0, [[0, 0], [3, 0], [0, 4]], [1, 0, 0])
    kernels = [1e3, 1 / (9 + 1e-3), 1 / (16 + 1e-3)]
    assert read(own, 0, [0, 0], 3, 1e-3) == pytest.approx(kernels[0] / sum(kernels), rel=1e-6)


def test_the_distance_of_the_kernel_is_squared():
    own = store(width=1)
    hold(own, 2, [[1.0], [-(3.0**0.5)]], [1, 0])
    assert read(own, 2, [0.0], 2, 0.0) == pytest.approx(0.75)  # of unsquared ones: 0.634


def test_as_many_neighbours_as_entries_are_kernel_regression():
    own = store(capacity=7)
    keys, values = torch.randn(7, W), torch.randn(7)
    own.write(torch.zeros(7, dtype=torch.int64), keys, values)
    query = torch.randn(W)
    kernels = 1 / ((keys - query).square().sum(1) + 0.01)
    want = (kernels * values).sum() / kernels.sum()
    assert read(own, 0, query.tolist(), 50, 0.01) == pytest.approx(want.item(), rel=1e-5)


def test_what_is_read_lies_between_the_values():
    own = store(capacity=11)
    own.write(torch.zeros(11, dtype=torch.int64), torch.randn(11, W), torch.rand(11))
    low, high = min(values_of(own, 0)), max(values_of(own, 0))
    assert all(low <= read(own, 0, [x, -x], 5, 1e-3) <= high for x in (-3.0, 0.0, 0.4))


def test_a_key_that_exists_moves_its_value_towards_the_target():
    own = store()
    hold(own, 0, [[1, 1]], [1])
    assert hold(own, 0, [[1, 1]], [3]) == (0, 1, 0)
    assert values_of(own, 0) == pytest.approx([1.2])  # 1 + 0.1 (3 − 1)


def test_the_same_key_of_another_action_is_another_entry():
    own = store()
    hold(own, 0, [[1, 1]], [1])
    assert hold(own, 1, [[1, 1]], [3]).new == 1


def test_the_largest_return_stays():
    own = store(rule=largest)
    hold(own, 0, [[1, 1], [1, 1], [1, 1]], [-7, -3, -5])
    hold(own, 0, [[1, 1]], [-4])
    assert values_of(own, 0) == [-3]


def test_what_was_retrieved_least_recently_makes_room():
    own = store(capacity=3)
    hold(own, 0, [[0, 0], [10, 0], [20, 0]], [1, 2, 3])
    own.near_of(torch.tensor([[0.0, 0.0], [20.0, 0.0]]), torch.tensor([0, 0]), 1)
    assert hold(own, 0, [[30, 0]], [4]) == (1, 0, 1)
    assert values_of(own, 0) == [1, 4, 3]


def test_what_all_actions_were_asked_for_was_retrieved():
    own = store(capacity=2)
    for a in range(A):
        hold(own, a, [[0, 0], [9, 9]], [1, 2])
    own.near(torch.zeros(A, 1, W), 1)  # the first of each
    hold(own, 1, [[50, 50]], [3])
    assert sorted(values_of(own, 1)) == [1, 3]


def test_looking_without_a_mark_is_no_retrieval():
    own = store(capacity=2)
    hold(own, 0, [[0, 0], [10, 0]], [1, 2])
    own.near(torch.zeros(A, 1, W), 1, mark=False)
    hold(own, 0, [[30, 0]], [4])
    assert values_of(own, 0) == [4, 2]


def test_a_query_of_one_action_is_no_retrieval_in_another():
    own = store(capacity=2)
    for action in (0, 1):
        hold(own, action, [[0, 0], [10, 0]], [1, 2])
    own.near_of(torch.zeros(2, W), torch.tensor([0, 0]), 1)
    hold(own, 1, [[30, 0]], [4])
    assert values_of(own, 1) == [4, 2]


class Plain:
    """A dictionary in lists, written one by one after all were looked up."""

    def __init__(self, capacity):
        self.capacity, self.keys, self.values, self.clock, self.now = capacity, [], [], [], 0

    def write(self, keys, targets):
        self.now += 1
        known = [self.find(key) for key in keys]
        for slot in known:
            if slot is not None:
                self.clock[slot] = self.now
        made = {}
        for key, target, slot in zip(keys, targets, known, strict=True):
            slot = made.get(key, slot)
            if slot is not None:
                self.values[slot] += 0.1 * (target - self.values[slot])
                continue
            if len(self.keys) < self.capacity:
                self.keys.append(None), self.values.append(None), self.clock.append(None)
                slot = len(self.keys) - 1
            else:
                slot = min(range(self.capacity), key=lambda s: (self.clock[s], s))
            self.keys[slot], self.values[slot], self.clock[slot] = key, target, self.now
            made[key] = slot

    def find(self, key):
        return self.keys.index(key) if key in self.keys else None


@given(
    writes=st.lists(
        st.lists(
            st.tuples(st.integers(0, A - 1), st.integers(0, 8), st.integers(-9, 9)),
            min_size=1,
            max_size=4,
        ),
        max_size=12,
    )
)
@settings(max_examples=30, deadline=None)
def test_a_batch_of_writes_is_the_same_writes_one_by_one(writes):
    own, plain = store(capacity=4, width=1), [Plain(4) for _ in range(A)]
    for batch in writes:
        action, keys, targets = zip(*batch, strict=True)
        own.write(
            torch.tensor(action),
            torch.tensor(keys).float().unsqueeze(1),
            torch.tensor(targets).float(),
        )
        for a in range(A):
            mine = [(key, target) for act, key, target in batch if act == a]
            plain[a].write([key for key, _ in mine], [target for _, target in mine])
    for a in range(A):
        held = own.entries.held[a]
        assert own.entries.keys[a, :held, 0].tolist() == plain[a].keys
        assert values_of(own, a) == pytest.approx(plain[a].values, abs=1e-5)


def test_more_writes_than_room_leave_the_last():
    own = store(capacity=3, width=1)
    hold(own, 0, [[float(n)] for n in range(8)], list(range(8)))
    assert sorted(values_of(own, 0)) == [5, 6, 7]


def test_large_batches_of_writes_are_compared_in_chunks_with_the_same_result(monkeypatch):
    sizes = []

    def counted(keys, numbers, tolerance):
        sizes.append(len(keys))
        return first_alike(keys, numbers, tolerance)

    monkeypatch.setattr(dnd, "first_alike", counted)
    n = 2 * dnd.CHUNK + 7
    own = store(capacity=5000, width=1, rule=largest)
    action, key, target = torch.arange(n) % A, torch.arange(n) % 301, torch.randn(n)
    own.write(action, key.float().unsqueeze(1), target)
    assert sizes == [dnd.CHUNK, dnd.CHUNK, 7]
    for a in range(A):
        for slot, k in enumerate(own.entries.keys[a, : own.entries.held[a], 0].tolist()):
            want = target[(action == a) & (key == k)].max()
            assert values_of(own, a)[slot] == float(want)


def test_room_is_allocated_as_entries_come_and_nothing_is_lost():
    own = store(capacity=500_000, width=1)
    assert own.entries.room == ROOM
    keys = torch.arange(3 * ROOM).float().unsqueeze(1)
    own.write(torch.ones(3 * ROOM, dtype=torch.int64), keys, keys.squeeze(1))
    assert own.entries.room == 4 * ROOM
    assert torch.equal(own.entries.keys[1, : 3 * ROOM], keys)
    assert values_of(own, 1) == keys.squeeze(1).tolist()


def test_an_action_with_few_entries_finds_no_more_than_it_holds():
    own = store(capacity=9)
    hold(own, 0, [[0, 0], [1, 0], [2, 0]], [1, 2, 3])
    hold(own, 1, [[5, 5]], [4])
    near = own.near(torch.zeros(A, 1, W), 50)
    assert near.found.squeeze(1).sum(dim=1).tolist() == [3, 1, 0]


def test_gradients_of_a_read_are_those_of_the_formula():
    keys = torch.randn(1, 1, 5, W, dtype=torch.float64, requires_grad=True)
    values = torch.randn(1, 1, 5, dtype=torch.float64, requires_grad=True)
    h = torch.randn(1, 1, W, dtype=torch.float64, requires_grad=True)
    found = torch.ones(1, 1, 5, dtype=torch.bool)
    kernels = 1 / ((h - keys.squeeze(0)).square().sum(-1) + 0.1)  # [1, 5]
    weights = kernels / kernels.sum()
    q = (kernel_weights(h, keys, found, 0.1) * values).sum()
    got = torch.autograd.grad(q, (h, keys, values))
    want_q = (weights * values[0]).sum()
    slope = -2 * weights * kernels * (values[0] - want_q)  # ∂Q/∂h = Σ of slope × (h − h_i)
    away = h - keys[0]
    torch.testing.assert_close(got[0], (slope.unsqueeze(-1) * away).sum(1, keepdim=True))
    torch.testing.assert_close(got[1][0], -slope.unsqueeze(-1) * away)
    torch.testing.assert_close(got[2][0], weights)


def descend(own, action, query, key_grad, value_grad, p=1):
    n = len(action)
    near = own.near_of(torch.tensor([query] * n), torch.tensor(action), p)
    grads = torch.full_like(near.keys, key_grad), torch.full_like(near.values, value_grad)
    own.descend(near, *grads, lr=0.5, decay=0.75)


def test_a_step_on_entries_is_rmsprops():
    own = store(width=1)
    hold(own, 0, [[2.0], [50.0]], [7, 3])
    key, value = (torch.nn.Parameter(torch.tensor([x])) for x in (2.0, 7.0))
    optimizer = torch.optim.RMSprop([key, value], lr=0.5, alpha=0.75)
    for _ in range(3):
        descend(own, [0], [2.0], 4.0, -6.0)
        key.grad, value.grad = torch.tensor([4.0]), torch.tensor([-6.0])
        optimizer.step()
    torch.testing.assert_close(own.entries.keys[0, 0], key.detach())
    torch.testing.assert_close(own.entries.values[0, :1], value.detach())
    assert own.entries.keys[0, 1].item() == 50.0
    assert own.entries.values[0, 1].item() == 3.0


def test_an_entry_that_two_of_a_batch_read_has_their_gradients_added():
    twice, once = store(width=1), store(width=1)
    for own in (twice, once):
        hold(own, 1, [[2.0]], [7])
    descend(twice, [1, 1], [2.0], 2.0, 1.5)
    descend(once, [1], [2.0], 4.0, 3.0)
    assert torch.equal(twice.entries.key_squares, once.entries.key_squares)
    assert torch.equal(twice.entries.values, once.entries.values)


def test_a_slot_that_is_written_anew_has_learned_nothing():
    own = store(capacity=1, width=1)
    hold(own, 0, [[2.0]], [7])
    descend(own, [0], [2.0], 2.0, 1.5)
    assert own.entries.key_squares[0, 0] > 0
    hold(own, 0, [[30.0]], [1])
    assert own.entries.key_squares[0, 0] == 0
    assert own.entries.value_squares[0, 0] == 0


def test_a_saved_store_goes_on_as_if_nothing_happened():
    first, second = store(capacity=40), store(capacity=40)
    first.write(torch.randint(0, A, (31,)), torch.randn(31, W), torch.randn(31))
    second.load_state_dict({key: _copy(x) for key, x in first.state_dict().items()})
    more = torch.randint(0, A, (90,)), torch.randn(90, W), torch.randn(90)
    for own in (first, second):
        own.near(torch.ones(A, 2, W), 3)
        own.write(*more)
    for name, array in first.entries.arrays().items():
        assert torch.equal(array, second.entries.arrays()[name]), name


def _copy(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda s: s.pop("clock"), "lack clock"),
        (lambda s: s.update(held=[0]), "1 dictionaries with keys of width 2"),
        (lambda s: s.update(room=99), "99 slots; allowed: 3 dictionaries"),
    ],
    ids=["missing", "actions", "capacity"],
)
def test_a_store_that_does_not_fit_is_refused_and_changes_nothing(damage, sentence):
    own, other = store(), store()
    hold(own, 0, [[1, 1]], [5])
    state = other.state_dict()
    damage(state)
    with pytest.raises(ValueError, match=sentence):
        own.load_state_dict(state)
    assert values_of(own, 0) == [5]


@pytest.mark.parametrize("find", ["ivf", "lsh"])
def test_an_index_finds_what_a_full_search_finds_and_follows_what_is_learned(find):
    pytest.importorskip("faiss")
    exact, indexed = store(capacity=400), store(capacity=400, find=find)
    action, keys, values = torch.randint(0, A, (60,)), torch.randn(60, W), torch.randn(60)
    for own in (exact, indexed):
        own.write(action, keys, values)
        near = own.near_of(keys[:9], action[:9], 4)
        own.descend(near, near.keys, near.values, lr=0.3, decay=0.9)
    queries = torch.randn(A, 5, W)
    a, b = exact.near(queries, 4), indexed.near(queries, 4)
    assert torch.equal(a.place, b.place)  # so few words lie in one list: nothing is missed
    torch.testing.assert_close(a.keys, b.keys)
