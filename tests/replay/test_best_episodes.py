"""The best whole episodes: which are kept, where they lie, how they are drawn."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from memrl.replay.episodes import BestEpisodes

L = 5


def make(capacity: int = 3) -> BestEpisodes:
    return BestEpisodes(
        capacity, L, {"x": torch.zeros(2, 2), "a": torch.zeros(2, dtype=torch.int64)}
    )


def add(best: BestEpisodes, scores: list[float]) -> list[int]:
    """Episodes filled with their score and as long as its whole part; returns what came in."""
    comes, slots = best.admit(torch.tensor(scores))
    score = torch.tensor(scores)[comes]
    items = {
        "x": score.view(-1, 1, 1).expand(-1, L, 2),
        "a": score.long().view(-1, 1).expand(-1, L),
    }
    best.write(slots, items, score.long())
    return comes.tolist()


def held(best: BestEpisodes) -> list[float]:
    return sorted(best.arrays["x"][best.length > 0][:, 0, 0].tolist())


def test_the_best_are_kept_whatever_the_order():
    best = make()
    for scores in ([2.0, 5.0], [1.0, 4.0, 3.0], [1.0], [5.0, 1.0]):
        add(best, scores)
    assert held(best) == [4.0, 5.0, 5.0]
    assert len(best) == 3


def test_of_equal_scores_the_newest_is_kept():
    best = make(2)
    add(best, [3.0, 3.0])
    assert add(best, [3.0]) == [0]
    assert sorted(best.born.tolist()) == [1, 2]


def test_what_is_not_among_the_best_changes_nothing():
    best = make(2)
    add(best, [3.0, 4.0])
    before = deepcopy(best.state_dict())
    assert add(best, [2.0]) == []
    after = best.state_dict()
    assert after.pop("added") == before.pop("added") + 1
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_more_at_once_than_fit_are_the_best_of_them():
    best = make(2)
    assert add(best, [1.0, 4.0, 2.0, 3.0]) == [1, 3]


@pytest.mark.parametrize(
    ("exponent", "high", "want"),
    [(0.5, 4.0, [1 / 3, 2 / 3, 0.0, 0.0]), (0.0, 400.0, [1 / 3] * 3 + [0])],
)
def test_samples_follow_the_priorities_to_their_exponent(exponent, high, want):
    best = make(4)
    add(best, [1.0, 2.0, 3.0])
    best.set_priority(torch.tensor([0, 1, 2]), torch.tensor([1.0, high, 0.0]))
    sampled = best.sample(6_000, exponent, torch.Generator().manual_seed(0))
    shares = torch.bincount(sampled, minlength=4) / 6_000
    torch.testing.assert_close(shares, torch.tensor(want), atol=0.03, rtol=0)
    assert shares[3] == 0  # a free slot


def test_episodes_are_taken_as_sequences_as_long_as_the_longest():
    best = make()
    add(best, [2.0, 4.0])
    taken = best.take(torch.tensor([0, 1, 0]))
    assert taken["x"].shape == (4, 3, 2)
    assert taken["a"][0].tolist() == best.length[[0, 1, 0]].tolist()


def test_a_saved_replay_goes_on():
    one, other = make(), make()
    add(one, [2.0, 4.0])
    one.set_priority(torch.tensor([0, 1]), torch.tensor([0.1, 0.9]))
    other.load_state_dict(deepcopy(one.state_dict()))
    for best in (one, other):
        add(best, [3.0, 5.0])
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    draws = [b.sample(9, 1.0, torch.Generator().manual_seed(1)) for b in (one, other)]
    assert torch.equal(*draws)


def test_a_replay_of_another_size_is_refused_and_nothing_is_lost():
    best = make(2)
    add(best, [3.0])
    with pytest.raises(ValueError, match=r"the saved episodes are x float32 \[3, 5, 2\]"):
        best.load_state_dict(make(3).state_dict())
    assert held(best) == [3.0]


def test_more_than_the_memory_is_a_sentence_before_anything_is_allocated():
    with pytest.raises(
        ValueError, match=r"the replay needs 8e\+07 GB; allowed: .* the free memory"
    ):
        make(10**15)


def test_no_room_is_refused():
    with pytest.raises(ValueError, match="capacity is 0, longest 5; allowed: both from 1"):
        make(0)
