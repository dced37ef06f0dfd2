"""E3B against explicit inverses, and its features against what they are learned for."""

from __future__ import annotations

import pytest
import torch
from small_bonuses import A, B, ends, experience, make, views, walk

from memrl.bonus.bonus import Experience
from memrl.bonus.elliptical import grow

RIDGE = 0.3


def test_repeats_of_one_vector_are_worth_x_over_one_plus_nx():
    x = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    inverse = torch.eye(3, dtype=torch.float64)[None] / RIDGE
    size = float(x.square().sum()) / RIDGE
    for n in range(9):
        torch.testing.assert_close(
            grow(inverse, x), torch.tensor([size / (1 + n * size)], dtype=torch.float64)
        )


def test_orthogonal_vectors_do_not_make_each_other_known():
    inverse = torch.eye(3, dtype=torch.float64)[None] / RIDGE
    for axis in torch.eye(3, dtype=torch.float64):
        assert abs(float(grow(inverse, 2 * axis[None])) - 4 / RIDGE) < 1e-12


def test_the_kept_inverse_is_the_inverse():
    x = torch.randn(41, B, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inverse = torch.eye(7, dtype=torch.float64).repeat(B, 1, 1) / RIDGE
    for row in x:
        grow(inverse, row)
    C = RIDGE * torch.eye(7, dtype=torch.float64) + torch.einsum("tbf,tbg->bfg", x, x)
    torch.testing.assert_close(inverse, torch.linalg.inv(C))


def test_the_bonus_matches_the_definition():
    bonus = make("elliptical", ridge=RIDGE)
    seen, opens, first = views(1, 19), ends(2, 19), views(5, 1)[0]
    bonus.begin({"image": first})
    paid = walk(bonus, seen, opens)
    phi = bonus.guess.features({"image": seen}).double().detach()
    start = bonus.guess.features({"image": first}).double().detach()
    for b in range(B):
        known = [start[b]]
        for t in range(19):
            C = RIDGE * torch.eye(7, dtype=torch.float64) + sum(v.outer(v) for v in known)
            want = float(phi[t, b] @ torch.linalg.inv(C) @ phi[t, b])
            if opens[t, b]:
                want, known = 0.0, []
            known.append(phi[t, b])
            assert abs(float(paid[t, b]) - want) < 1e-3 * max(1.0, want)


def test_float32_stays_with_the_inverse_over_a_long_episode():
    g = torch.Generator().manual_seed(0)
    inverse = torch.eye(7).repeat(B, 1, 1) / RIDGE
    C = torch.linalg.inv(inverse.double())
    for _ in range(1_000):
        x = torch.randn(B, 7, generator=g)
        b = grow(inverse, x)
        want = (x.double().unsqueeze(1) @ torch.linalg.inv(C) @ x.double().unsqueeze(2)).flatten()
        C += x.double().unsqueeze(2) * x.double().unsqueeze(1)
    torch.testing.assert_close(b.double(), want, rtol=1e-3, atol=0)


@pytest.mark.slow
def test_features_learn_to_tell_the_action():
    g = torch.Generator().manual_seed(0)
    action = torch.randint(0, A, (64, B), generator=g)
    image = torch.zeros(65, B, 3, 2, 1, dtype=torch.uint8)
    image[1:, :, 0, 0, 0] = action.to(torch.uint8)  # an observation shows what was done before it
    never, always = torch.zeros(64, B, dtype=torch.bool), torch.ones(64, B, dtype=torch.bool)
    seen = Experience({"image": image[:-1]}, action, never, always, {"image": image[-1]})
    bonus = make("elliptical", lr=0.01, updates=8)
    losses = [float(bonus.learn(seen)["bonus/loss"]) for _ in range(40)]
    assert losses[0] > 1.0
    assert losses[-1] < 0.05


def test_pairs_across_an_end_are_not_learned_from():
    seen = experience(3)
    one, other = make("elliptical"), make("elliptical")
    action = torch.where(seen.goes_on, seen.action, (seen.action + 1) % A)
    assert not torch.equal(action, seen.action)
    losses = [one.learn(seen), other.learn(seen._replace(action=action))]
    assert torch.equal(*(row["bonus/loss"] for row in losses))
