"""What holds for every kind of bonus."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from small_bonuses import KINDS, LEARNED, B, ends, experience, make, views, walk

from memrl.bonus.network import RunningStd


@pytest.mark.parametrize("kind", KINDS)
def test_the_observation_after_an_end_pays_nothing(kind):
    bonus = make(kind)
    seen, opens = views(1, 23), ends(2, 23)
    bonus.begin({"image": seen[0]})
    paid = walk(bonus, seen, opens)
    assert opens.any()
    assert not paid[opens].any()
    assert (paid >= 0).all()
    assert paid.sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_begins_with_nothing_left_of_the_one_before(kind):
    seen, opens = views(1, 17), ends(2, 17)
    long, short = make(kind), make(kind)
    long.begin({"image": views(9, 1)[0]})
    walk(long, seen, opens)
    everywhere = torch.ones(B, dtype=torch.bool)
    long.reward({"image": seen[0]}, everywhere)
    short.begin({"image": seen[0]})
    again = views(3, 13)
    torch.testing.assert_close(
        walk(long, again, opens[:13]), walk(short, again, opens[:13]), rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_mix(kind):
    seen, opens, order = views(1, 17), ends(2, 17), torch.tensor([2, 0, 1])
    one, other = make(kind), make(kind)
    one.begin({"image": seen[0]})
    other.begin({"image": seen[0][order]})
    paid, permuted = walk(one, seen, opens), walk(other, seen[:, order], opens[:, order])
    torch.testing.assert_close(paid[:, order], permuted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_bonus_goes_on_bit_for_bit(kind):
    first, second = make(kind, seed=1), make(kind, seed=2)
    first.begin({"image": views(1, 1)[0]})
    second.begin({"image": views(4, 1)[0]})
    paid = walk(first, views(2, 7), ends(2, 7))
    first.normalise(paid, torch.ones(7, B, dtype=torch.bool))
    first.learn(experience(5))
    second.load_state_dict(deepcopy(first.state_dict()))
    for seed in (6, 7):
        reports = [bonus.learn(experience(seed)) for bonus in (first, second)]
        assert {k: float(v) for k, v in reports[0].items()} == {
            k: float(v) for k, v in reports[1].items()
        }
        valid = torch.ones(7, B, dtype=torch.bool)
        walks = [walk(bonus, views(seed, 7), ends(seed, 7)) for bonus in (first, second)]
        assert torch.equal(*walks)
        assert torch.equal(first.normalise(walks[0], valid), second.normalise(walks[1], valid))


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_another_kind_is_refused(kind):
    other = make(KINDS[(KINDS.index(kind) + 1) % len(KINDS)])
    with pytest.raises(ValueError, match="the saved bonus has entries"):
        make(kind).load_state_dict(other.state_dict())


@pytest.mark.parametrize("kind", ["first_visit", "count", "novelty_difference"])
def test_a_set_of_another_capacity_is_refused_and_nothing_is_changed(kind):
    bonus, other = make(kind), make(kind)
    other.visited.seen = other.visited.seen.repeat(1, 2)
    if kind == "count":
        other.visits = other.visits.repeat(1, 2)
    bonus.begin({"image": views(1, 1)[0]})
    before = deepcopy(bonus.state_dict())
    with pytest.raises(ValueError, match=r"has seen of shape \(3, \d+\); allowed: \(3, \d+\)"):
        bonus.load_state_dict(other.state_dict())
    torch.testing.assert_close(bonus.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", LEARNED)
def test_nets_of_another_width_are_refused_and_nothing_is_changed(kind):
    state = make(kind).state_dict()
    name = {"novelty_difference": "predictor", "elliptical": "guess"}[kind]
    weights = state[name]["module"]
    last = next(reversed(weights))
    state[name]["module"] = {**weights, last: weights[last].new_zeros(2)}
    bonus = make(kind, seed=2)
    before = deepcopy(bonus.state_dict())
    with pytest.raises(
        ValueError, match=r"the saved bonus does not fit the configured one: .*size"
    ):
        bonus.load_state_dict(state)
    torch.testing.assert_close(bonus.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_stays_in_its_place(kind):
    bonus = make(kind)
    bonus.begin({"image": views(1, 1)[0]})
    before = places(bonus.state_dict())
    walk(bonus, views(2, 5), ends(2, 5))
    assert places(bonus.state_dict()) == before


def places(value):
    if isinstance(value, torch.Tensor):
        return value.data_ptr() if value.dim() else None  # an optimiser's step is made anew
    return {key: places(item) for key, item in value.items() if key != "shuffler"}


@pytest.mark.parametrize("kind", LEARNED)
def test_invalid_steps_teach_nothing(kind):
    valid = ~ends(8, 11)
    marred, clean = experience(3, valid=valid), experience(3, valid=valid)
    # A row that was no step is a start's predecessor: the collector marks the next row so.
    start = clean.start | torch.cat([torch.zeros(1, B, dtype=torch.bool), ~valid[:-1]])
    marred.obs["image"][~valid & ~follows(start)] = 4
    one, other = make(kind), make(kind)
    reports = [
        one.learn(clean._replace(start=start)),
        other.learn(marred._replace(start=start)),
    ]
    assert float(reports[0]["bonus/loss"]) == float(reports[1]["bonus/loss"])


def follows(start):
    """Rows whose observation is what the step before led to: a pair ends in them."""
    return ~start


@pytest.mark.parametrize("kind", LEARNED)
def test_without_a_step_to_learn_from_the_loss_is_nan(kind):
    nothing = experience(3, steps=1, valid=torch.zeros(1, B, dtype=torch.bool))
    assert make(kind).learn(nothing)["bonus/loss"].isnan()


@pytest.mark.parametrize("kind", LEARNED)
def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_net(kind):
    bonus = make(kind)
    with torch.no_grad():
        next(bonus.trainer.module.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="bonus loss became NaN"):
        bonus.learn(experience(3))


def test_payments_are_divided_by_the_deviation_of_all_so_far():
    spread, everywhere = RunningStd(torch.device("cpu")), torch.ones(5, B, dtype=torch.bool)
    g = torch.Generator().manual_seed(0)
    first, second = (torch.rand(5, B, generator=g, dtype=torch.float64) for _ in "ab")
    spread.divide(first, everywhere)
    both = torch.cat([first, second])
    got = spread.divide(second, everywhere)
    torch.testing.assert_close(got, second / both.std(correction=0))


def test_payments_of_rows_that_were_no_step_do_not_count_for_the_deviation():
    spread = RunningStd(torch.device("cpu"))
    paid = torch.tensor([[1.0, 3.0, 900.0]])
    got = spread.divide(paid, torch.tensor([[True, True, False]]))
    assert got[0, :2].tolist() == [1.0, 3.0]  # the deviation of 1 and 3 is 1


def test_payments_that_are_all_alike_are_not_divided():
    spread = RunningStd(torch.device("cpu"))
    paid = torch.full((5, B), 7.0)
    assert torch.equal(spread.divide(paid, torch.ones(5, B, dtype=torch.bool)), paid)
