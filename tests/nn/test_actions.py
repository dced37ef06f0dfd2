"""The divergence of two distributions over actions."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Normal, kl_divergence

from memrl.nn.actions import ActionHead, Categorical, Gaussian, Independent


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_of_one_choice():
    p, q = numbers(0, 3, 5), numbers(1, 3, 5)
    want = kl_divergence(TorchCategorical(logits=p), TorchCategorical(logits=q))
    torch.testing.assert_close(Categorical(p).kl(Categorical(q)), want)


def test_of_several_choices():
    one, other = (
        Independent([Categorical(numbers(seed, 3, 5)), Categorical(numbers(seed, 3, 2))])
        for seed in (0, 1)
    )
    want = sum(p.kl(q) for p, q in zip(one.parts, other.parts, strict=True))
    torch.testing.assert_close(one.kl(other), want)


@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_of_normal_actions(spread):
    means, log_std = (numbers(0, 3, 2), numbers(1, 3, 2)), numbers(2, 2)
    one, other = Gaussian(means[0], log_std), Gaussian(means[1], log_std + spread)
    as_torch = [Normal(each.mean, each.log_std.exp()) for each in (one, other)]
    torch.testing.assert_close(one.kl(other), kl_divergence(*as_torch).sum(-1))


def test_actions_that_both_forbid_have_no_part_in_it():
    mask = torch.tensor([True, False, True])
    p, q = numbers(0, 4, 3), numbers(1, 4, 3)
    allowed = [Categorical(x[:, [0, 2]]) for x in (p, q)]
    masked = [Categorical(x, mask.expand(4, 3)) for x in (p, q)]
    torch.testing.assert_close(masked[0].kl(masked[1]), allowed[0].kl(allowed[1]))


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (3,))], ids=str
)
def test_a_distribution_is_made_again_of_its_parameters(space):
    head = ActionHead(7, space).double()
    with torch.no_grad():
        made = head(10 * torch.randn(3, 2, 7, dtype=torch.float64))
        again = head.distribution(made.parameters())
        action = made.sample(torch.Generator().manual_seed(0))
        torch.testing.assert_close(again.log_prob(action), made.log_prob(action))
        torch.testing.assert_close(again.kl(made), torch.zeros(3, 2, dtype=torch.float64))
