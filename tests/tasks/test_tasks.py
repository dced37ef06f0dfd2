"""What every task asks can be read off its input: each is held against plain loops."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from small_fits import needed

from memrl.tasks import (
    MQAR,
    REGISTRY,
    AssociativeRecall,
    Copy,
    FirstInput,
    NGrams,
    NthFarthest,
    Parity,
    PrioritySort,
    RepeatCopy,
    Task,
)
from memrl.tasks.task import Batch, starts_at_first_step

SLICE = Path(__file__).parent / "babi"


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(name: str) -> Task:
    """A task with its defaults; what has none is the slice of bAbI beside this file."""
    needed(name)
    return REGISTRY.build(name, options={"folder": str(SLICE)} if name == "babi" else {})


def scored_steps(batch, row: int) -> list[int]:
    return [t for t, scored in enumerate(batch.mask[:, row].tolist()) if scored]


# What all tasks have in common


@pytest.mark.parametrize("name", REGISTRY.names())
def test_a_batch_has_the_shapes_that_the_task_declares(name):
    task = built(name)
    batch = task.sample(3, task.max_length, drawn())
    steps = len(batch.x)
    assert task.encoder()(batch.x).shape == (steps, 3, task.in_dim)
    assert batch.mask.shape == batch.start.shape == (steps, 3)
    assert batch.start.nonzero()[:, 0].tolist() == [0, 0, 0]
    assert batch.mask.any(dim=0).all()
    if task.kind == "bits":
        assert batch.target.shape == (steps, 3, task.out_dim)
        assert set(batch.target.unique().tolist()) <= {0.0, 1.0}
    else:
        assert batch.target.shape == (steps, 3)
        assert batch.target.dtype == torch.int64
        assert batch.target[batch.mask].max() < task.out_dim


@pytest.mark.parametrize("name", REGISTRY.names())
def test_the_same_generator_draws_the_same_batch_and_touches_no_other(name):
    length = built(name).max_length
    before = torch.get_rng_state()
    first, again, other = (built(name).sample(5, length, drawn(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.x, other.x)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", REGISTRY.names())
def test_guessing_is_right_as_often_as_chance_says(name):
    task = built(name)
    batch = task.sample(701, task.max_length, drawn())
    answers = batch.target[batch.mask].double()
    if name == "repeat_copy":  # the end channel is no coin
        answers = answers[:, : task.bits]
    if task.kind == "bits":
        assert abs(float(answers.mean()) - task.chance) < 0.05
    else:
        share = Counter(answers.tolist()).most_common(1)[0][1] / len(answers)
        assert abs(share - task.chance) < 0.05


@pytest.mark.parametrize("name", [name for name in REGISTRY.names() if name != "babi"])
def test_a_task_that_keeps_no_state_refuses_one(name):
    task = built(name)
    task.load_state_dict(task.state_dict())
    with pytest.raises(ValueError, match="has no state"):
        task.load_state_dict({"epoch": 3})


# What each task asks


def test_copy_asks_for_what_was_heard():
    batch = Copy(bits=3).sample(2, 5, drawn())
    for row in range(2):
        assert scored_steps(batch, row) == [6, 7, 8, 9, 10]
        for t in range(11):
            heard = batch.x[t, row]
            assert heard[3] == (1.0 if t == 5 else 0.0)
            if t >= 5:
                assert heard[:3].tolist() == [0.0, 0.0, 0.0]
            if t > 5:
                assert batch.target[t, row].tolist() == batch.x[t - 6, row, :3].tolist()


def test_repeat_copy_asks_for_copies_and_an_end():
    task = RepeatCopy(bits=3, min_repeats=2, max_repeats=5)
    counts = set()
    for seed in range(20):
        batch = task.sample(2, 7, drawn(seed))
        # Counts 2 … 5 have mean 3.5 and variance 1.25.
        count = round(float(batch.x[7, 0, 4]) * math.sqrt(1.25) + 3.5)
        counts.add(count)
        assert len(batch.x) == 7 + 1 + 7 * count + 1
        for row in range(2):
            steps = scored_steps(batch, row)
            assert steps == list(range(8, len(batch.x)))
            for i, t in enumerate(steps[:-1]):
                heard = [*batch.x[i % 7, row, :3].tolist(), 0.0]
                assert batch.target[t, row].tolist() == heard
            assert batch.target[-1, row].tolist() == [0.0, 0.0, 0.0, 1.0]
            assert batch.x[8:, row].abs().sum() == 0
    assert counts == {2, 3, 4, 5}


def test_repeat_copy_with_one_count_only_is_finite():
    batch = RepeatCopy(min_repeats=3, max_repeats=3).sample(2, 5, drawn())
    assert batch.x[5, :, 9].tolist() == [0.0, 0.0]


def test_associative_recall_asks_for_the_successor():
    task = AssociativeRecall(bits=13, item_steps=3)
    batch = task.sample(11, 5, drawn())
    asked = set()
    for row in range(11):
        x = batch.x[:, row]
        items = []
        for i in range(5):
            assert x[4 * i, 13] == 1.0
            items.append(x[4 * i + 1 : 4 * i + 4, :13].tolist())
        assert x[:, 13].sum() == 5
        assert x[:, 14].nonzero().flatten().tolist() == [20, 24]
        query = items.index(x[21:24, :13].tolist())
        asked.add(query)
        assert scored_steps(batch, row) == [25, 26, 27]
        assert batch.target[25:, row].tolist() == items[query + 1]
        assert x[25:].abs().sum() == 0
    assert asked == {0, 1, 2, 3}


def test_ngrams_predict_the_bit_that_is_heard_next():
    batch = NGrams(n=3).sample(2, 11, drawn())
    for row in range(2):
        assert scored_steps(batch, row) == list(range(1, 11))
        for t in range(10):
            assert batch.target[t, row, 0] == batch.x[t + 1, row, 0]


def test_ngrams_look_up_a_table_that_stays_the_same_through_a_sequence():
    batch = NGrams(n=2).sample(301, 1000, drawn())
    bits = torch.cat([batch.x[:1, :, 0], batch.target[:, :, 0]]).tolist()
    shares = []
    for row in range(301):
        for context in (0.0, 1.0):
            followers = [bits[t + 1][row] for t in range(1000) if bits[t][row] == context]
            half = len(followers) // 2
            if half > 100:
                first, second = sum(followers[:half]) / half, sum(followers[-half:]) / half
                assert abs(first - second) < 0.35
                shares.append(sum(followers) / len(followers))
    # Beta(½, ½) puts a third of its mass below ¼ and a third above ¾.
    assert sum(share < 0.25 for share in shares) > 0.2 * len(shares)
    assert sum(share > 0.75 for share in shares) > 0.2 * len(shares)


def test_the_best_prediction_of_ngrams_counts_what_followed():
    task = NGrams(n=3)
    batch = task.sample(2, 23, drawn())
    logits = task.best_logits(batch)
    for row in range(2):
        bits = [int(bit) for bit in batch.x[:, row, 0].tolist()]
        counts = {(a, b): [0, 0] for a in (0, 1) for b in (0, 1)}
        for t in range(1, 23):
            if t >= 2:
                counts[bits[t - 2], bits[t - 1]][bits[t]] += 1
            zeros, ones = counts[bits[t - 1], bits[t]]
            want = (ones + 0.5) / (zeros + ones + 1)
            assert float(logits[t, row, 0].sigmoid()) == pytest.approx(want, abs=1e-6)


def test_nothing_that_is_known_of_ngrams_beats_the_best_prediction():
    task = NGrams(n=3)
    batch = task.sample(503, 100, drawn())
    best = task.best_logits(batch)[batch.mask]
    target = batch.target[batch.mask]
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    assert loss(best, target) < loss(0.8 * best, target)
    assert loss(best, target) < loss(1.25 * best, target)
    assert loss(best, target) < 0.6 < math.log(2)


def test_priority_sort_asks_for_the_highest_in_order():
    batch = PrioritySort(bits=11, kept=0.6).sample(3, 7, drawn())
    assert len(batch.x) == 7 + 1 + 4
    for row in range(3):
        assert scored_steps(batch, row) == [8, 9, 10, 11]
        heard = [(float(batch.x[t, row, 11]), batch.x[t, row, :11].tolist()) for t in range(7)]
        ranked = sorted(heard, key=lambda pair: -pair[0])
        for i in range(4):
            assert batch.target[8 + i, row].tolist() == ranked[i][1]
        assert batch.x[:, row, 12].nonzero().flatten().tolist() == [7]


def test_priorities_are_even_between_minus_one_and_one():
    priority = PrioritySort().sample(500, 20, drawn()).x[:20, :, 8]
    assert -1 <= float(priority.min()) < -0.99
    assert 0.99 < float(priority.max()) <= 1
    assert abs(float(priority.mean())) < 0.03


@pytest.mark.parametrize("length", [5, 3])
def test_nth_farthest_asks_for_a_label_by_distance(length):
    batch = NthFarthest(dims=2, objects=5, min_length=5, max_length=5).sample(50, length, drawn())
    for row in range(50):
        assert scored_steps(batch, row) == [length - 1]
        vectors, labels = {}, []
        for t in range(length):
            heard = batch.x[t, row]
            label, n, m = (int(part.argmax()) for part in heard[2:].view(3, 5))
            assert heard[2:].sum() == 3
            vectors[label] = heard[:2].tolist()
            labels.append(label)
        assert sorted(labels) == list(range(length))
        ranked = sorted(labels, key=lambda label: -math.dist(vectors[label], vectors[m]))
        assert int(batch.target[length - 1, row]) == ranked[n]
        if n == length - 1:
            assert ranked[n] == m


def test_as_many_labels_as_vectors_are_guessed_among():
    assert NthFarthest(objects=8, min_length=5, max_length=5).chance == 1 / 5


def test_mqar_asks_for_the_value_of_every_key():
    batch = MQAR(keys=7, values=5, max_length=7).sample(13, 3, drawn())
    orders = set()
    for row in range(13):
        symbols = [int(x.argmax()) for x in batch.x[:, row]]
        assert batch.x[:, row].sum() == 9
        pairs = {symbols[2 * i]: symbols[2 * i + 1] for i in range(3)}
        assert len(pairs) == 3
        assert all(key < 7 <= value < 12 for key, value in pairs.items())
        assert scored_steps(batch, row) == [6, 7, 8]
        assert sorted(symbols[6:]) == sorted(pairs)
        orders.add(tuple(sorted(pairs).index(key) for key in symbols[6:]))
        for t in (6, 7, 8):
            assert int(batch.target[t, row]) == pairs[symbols[t]] - 7
    assert len(orders) > 3


@pytest.mark.parametrize("between", ["blank", "symbols"])
def test_first_input_is_asked_for_length_steps_later(between):
    batch = FirstInput(symbols=5, between=between).sample(7, 11, drawn())
    assert len(batch.x) == 12
    for row in range(7):
        x = batch.x[:, row]
        assert scored_steps(batch, row) == [11]
        assert x[0, int(batch.target[11, row])] == 1.0
        assert x[:, 5].nonzero().flatten().tolist() == [11]
        heard = [float(x[t, :5].sum()) for t in range(12)]
        assert heard == [1.0, *([1.0 if between == "symbols" else 0.0] * 10), 0.0]


def test_parity_is_that_of_the_ones():
    batch = Parity(bits=11, shown=3, max_length=11).sample(60, 7, drawn())
    places = set()
    for row in range(60):
        vector = batch.x[0, row].tolist()
        assert all(batch.x[t, row].tolist() == vector for t in range(3))
        assert sorted({abs(value) for value in vector}) == [0.0, 1.0]
        assert sum(map(abs, vector)) == 7
        places |= {i for i, value in enumerate(vector) if value}
        assert scored_steps(batch, row) == [2]
        assert float(batch.target[2, row, 0]) == vector.count(1.0) % 2
    assert places == set(range(11))


# Mistakes


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("copy", {"min_length": 0}, "task.min_length=0, allowed in this task: at least 1"),
        ("copy", {"min_length": 5, "max_length": 3}, "min_length=5 is above task.max_length=3"),
        ("copy", {"bits": 0}, "option bits=0"),
        ("copy", {"bit": 3}, "has no option 'bit'; did you mean bits"),
        ("associative_recall", {"min_length": 1}, "min_length=1, .*at least 2"),
        ("nth_farthest", {"max_length": 9}, "max_length=9, .*at least 2 and at most 8"),
        ("mqar", {"keys": 5}, "max_length=8, .*at most 5"),
        ("parity", {"bits": 8}, "max_length=16, .*at most 8"),
        ("ngrams", {"min_length": 4}, "min_length=4, .*at least 5"),
        ("ngrams", {"n": 40}, "option n=40: input should be less than or equal to 16"),
        ("repeat_copy", {"min_repeats": 4, "max_repeats": 3}, "min_repeats=4 is above"),
        ("first_input", {"between": "noise"}, "'blank' or 'symbols'"),
        ("cpoy", {}, "unknown task 'cpoy'; did you mean copy"),
    ],
)
def test_a_task_that_makes_no_sense_is_one_sentence(name, options, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        REGISTRY.build(name, options=options)
    assert "\n" not in str(caught.value)


class Faulty(Task):
    """A task of somebody who guesses what a batch looks like."""

    kind = "classes"

    def __init__(self, fault: str) -> None:
        super().__init__(in_dim=2, out_dim=3, min_length=5, max_length=5)
        self.fault = fault

    def sample(self, batch, length, generator):
        whole = torch.zeros(length, batch, dtype=torch.int64)
        target = {
            "float": whole.float(),
            "axis": whole.unsqueeze(-1),
            "class": whole + 3,
        }.get(self.fault, whole)
        mask = torch.ones(length, batch, dtype=torch.bool)
        mask = mask.float() if self.fault == "mask" else mask
        x = torch.zeros(length, batch, 2)
        return Batch(x, target, mask, starts_at_first_step(length, batch))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "float",
            r"target as float32 \[5, 7\], allowed with kind=classes: int64 \[5, 7\]",
        ),
        ("axis", r"target as int64 \[5, 7, 1\], allowed with kind=classes: int64 \[5, 7\]"),
        ("class", r"returned the classes 3 … 3, allowed: 0 … 2"),
        ("mask", r"returned mask as float32 \[5, 7\], allowed with kind=classes: bool \[5, 7\]"),
    ],
)
def test_a_batch_that_no_learner_can_read_is_named(fault, sentence):
    task = Faulty(fault)
    with pytest.raises(ValueError, match=sentence):
        task.check_batch(task.sample(7, 5, torch.Generator()))
    Faulty("").check_batch(Faulty("").sample(7, 5, torch.Generator()))
