"""Sums, means and copies over ranks, and their absence."""

from __future__ import annotations

import pytest
import torch
from ranks import on_ranks
from torch import nn

from memrl.distributed.collectives import (
    broadcast_,
    from_rank_0,
    max_over_ranks,
    mean_gradients,
    mean_over_ranks,
    of_all_ranks,
    rank,
    ranks,
    sum_over_ranks,
)
from memrl.errors import RankLost
from memrl.losses.ppo import masked_mean, moments
from memrl.nn.normalise import RunningNorm

X = torch.arange(7.0, dtype=torch.float64).square()
VALID = torch.tensor([True, True, False, True, True, False, True])
SHARES = [slice(0, 2), slice(2, 7)]


def standardised(x, valid):
    return moments([(x, valid)])[0].standardise(x)


def of_one_rank():
    """What a rank computes from its share of X."""
    share = SHARES[rank()]
    x, valid = X[share], VALID[share]
    weights = [nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (3, 2, 5)]
    weights[0].grad = torch.full((3,), 1.0 + rank(), dtype=torch.float64)
    if rank() == 1:
        weights[1].grad = torch.tensor([2.0, 4.0], dtype=torch.float64)
    loss = mean_gradients(weights, torch.tensor(3.0 + rank(), dtype=torch.float64))
    module = nn.BatchNorm1d(3)
    with torch.no_grad():
        module.weight.fill_(5.0 + rank())
    module.running_mean.fill_(7.0 + rank())
    broadcast_(module, None)
    norm = RunningNorm(1)
    for _ in range(2):
        norm.update(x.unsqueeze(1), valid)
    return {
        "rank": (rank(), ranks()),
        "sum": sum_over_ranks(x.sum()),
        "mean": mean_over_ranks(x.sum()),
        "max": max_over_ranks(x.max()),
        "shared": from_rank_0({"rank": rank()}),
        "all": of_all_ranks(rank()),
        "grads": [weight.grad for weight in weights],
        "loss": loss,
        "module": (module.weight.detach(), module.running_mean),
        "masked": mean_over_ranks(masked_mean(x, valid)),
        "normalised": standardised(x, valid),
        "norm": (norm.mean, norm.var, norm.count),
    }


@pytest.fixture(scope="module")
def pair():
    return on_ranks(of_one_rank)


def test_ranks_are_numbered(pair):
    assert [one["rank"] for one in pair] == [(0, 2), (1, 2)]


def test_sums_means_and_maxima_are_those_of_all_ranks(pair):
    for one in pair:
        assert (one["sum"], one["mean"], one["max"]) == (X.sum(), X.sum() / 2, 36.0)


def test_plain_values_are_exchanged(pair):
    for one in pair:
        assert one["shared"] == {"rank": 0}
        assert one["all"] == [0, 1]


def test_a_gradient_that_one_rank_lacks_counts_as_zeros_and_one_that_all_lack_stays_missing(pair):
    for one in pair:
        both, half, none = one["grads"]
        assert both.tolist() == [1.5, 1.5, 1.5]
        assert half.tolist() == [1.0, 2.0]
        assert none is None
        assert one["loss"] == 3.5


def test_parameters_and_buffers_become_those_of_rank_0(pair):
    for one in pair:
        weight, mean = one["module"]
        assert (weight == 5).all()
        assert (mean == 7).all()


def test_a_mean_over_valid_steps_is_that_of_all_ranks(pair):
    for one in pair:
        torch.testing.assert_close(one["masked"], X[VALID].mean(), rtol=1e-12, atol=0)


def test_advantages_are_standardised_over_all_ranks(pair):
    both = torch.cat([one["normalised"] for one in pair])
    torch.testing.assert_close(both, standardised(X, VALID), rtol=1e-12, atol=0)


def test_running_statistics_are_those_of_all_ranks(pair):
    alone = RunningNorm(1)
    for _ in range(2):
        alone.update(X.unsqueeze(1), VALID)
    for one in pair:
        for there, here in zip(one["norm"], (alone.mean, alone.var, alone.count), strict=True):
            torch.testing.assert_close(there, here, rtol=1e-12, atol=0)


def test_alone_nothing_is_changed():
    weight = nn.Parameter(torch.ones(2))
    loss = mean_gradients([weight], torch.tensor(3.0, requires_grad=True))
    assert (rank(), ranks()) == (0, 1)
    assert sum_over_ranks(X) is X
    assert mean_over_ranks(X) is X
    assert max_over_ranks(X) is X
    assert weight.grad is None
    assert loss == 3.0
    assert not loss.requires_grad
    assert of_all_ranks("a") == ["a"]


def after_the_other_ended():
    if rank() == 1:
        return None
    try:
        while True:
            sum_over_ranks(X)
    except RankLost as error:
        return str(error)


@pytest.mark.slow
def test_a_rank_whose_peer_ends_says_so():
    said, _ = on_ranks(after_the_other_ended)
    assert said == "rank 0 stops, since another rank has ended; that one says why"
