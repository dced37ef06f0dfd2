"""The losses of predicted observations, against their definitions in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from memrl.nn.observation import ObsEncoder
from memrl.nn.observation_heads import ObservationHeads
from memrl.rollout.tokens import Tokens

T, B, F = 5, 3, 7


def draw(*shape: int, below: int) -> torch.Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(3))


def encoder(space: spaces.Dict, normalise: bool = True) -> ObsEncoder:
    return ObsEncoder(space, 11, cell_dim=2, discrete_dim=None, normalise=normalise).double()


def heads_on(entry: spaces.Space, **more: spaces.Space) -> ObservationHeads:
    torch.manual_seed(0)
    space = spaces.Dict({"seen": entry, **more})
    return ObservationHeads(space, F, encoder(space)).double()


def features() -> torch.Tensor:
    return torch.randn(T, B, F, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def predicted(heads: ObservationHeads) -> torch.Tensor:
    """What the only head's layer makes of the features, [T, B, any width]."""
    return heads.heads[0].layer(features()).detach()


def nats(logits: torch.Tensor, value: int) -> float:
    exps = [math.exp(float(x)) for x in logits]
    return -math.log(exps[value] / sum(exps))


@pytest.mark.parametrize("scalar", [True, False])
def test_discrete_values_have_the_mean_cross_entropy(scalar):
    sizes = [5] if scalar else [2, 5, 3]
    heads = heads_on(spaces.Discrete(5) if scalar else spaces.MultiDiscrete(sizes))
    columns = torch.stack([draw(T, B, below=n) for n in sizes], dim=-1)
    loss, right = heads(features(), {"seen": columns[..., 0] if scalar else columns})
    parts = predicted(heads).split(sizes, dim=-1)
    for t in range(T):
        for b in range(B):
            pairs = [(part[t, b], int(columns[t, b, d])) for d, part in enumerate(parts)]
            want = sum(nats(logits, value) for logits, value in pairs) / len(sizes)
            hits = sum(int(logits.argmax()) == value for logits, value in pairs) / len(sizes)
            assert float(loss[t, b].detach()) == pytest.approx(want, abs=1e-12)
            assert float(right[t, b]) == pytest.approx(hits)


@pytest.mark.parametrize(("entry", "codes", "bits"), [
    (spaces.MultiBinary(4), 2, 1),
    (spaces.Box(0, 12, (3, 2, 2), np.uint8), 13, 4),
])  # fmt: skip
def test_codes_have_the_cross_entropy_of_their_binary_digits(entry, codes, bits):
    heads = heads_on(entry)
    seen = draw(T, B, *entry.shape, below=codes)
    loss, right = heads(features(), {"seen": seen.to(torch.bool if codes == 2 else torch.uint8)})
    logits = predicted(heads).view(T, B, -1, bits)
    count = logits.shape[2]
    for t in range(T):
        for b in range(B):
            want = hits = 0.0
            for i, code in enumerate(seen[t, b].flatten().tolist()):
                digits = [code >> d & 1 for d in range(bits)]
                for x, digit in zip(logits[t, b, i].tolist(), digits, strict=True):
                    p = 1 / (1 + math.exp(-x))
                    want -= math.log(p if digit else 1 - p)
                hits += all((x > 0) == d for x, d in zip(logits[t, b, i], digits, strict=True))
            assert float(loss[t, b].detach()) == pytest.approx(want / count, abs=1e-12)
            assert float(right[t, b]) == pytest.approx(hits / count)


@pytest.mark.parametrize("normalise", [True, False])
def test_numbers_have_the_squared_error_on_the_encoders_scale(normalise):
    space = spaces.Dict({"seen": spaces.Box(-9.0, 9.0, (3, 2), np.float32)})
    reads = encoder(space, normalise)
    heads = ObservationHeads(space, F, reads).double()
    seen = 1.0 + 3.0 * torch.randn(T, B, 3, 2, generator=torch.Generator().manual_seed(1))
    reads.update({"seen": seen}, torch.ones(T, B, dtype=torch.bool))
    loss, right = heads(features(), {"seen": seen})
    flat = seen.flatten(2).double()
    mean, spread = flat.mean((0, 1)), (flat.var((0, 1), correction=0) + 1e-8).sqrt()
    wanted = (flat - mean) / spread if normalise else flat
    for t in range(T):
        for b in range(B):
            errors = (predicted(heads)[t, b] - wanted[t, b]).tolist()
            want = sum(x * x for x in errors) / 6
            assert float(loss[t, b].detach()) == pytest.approx(want, rel=1e-6)
    assert right is None
    assert not heads.discrete


@pytest.mark.parametrize("sides", [(36, 35), (42, 84)])
@pytest.mark.parametrize("bytes_", [True, False])
def test_pictures_have_the_squared_error_of_brightnesses(sides, bytes_):
    high, dtype = (255, np.uint8) if bytes_ else (1.0, np.float32)
    heads = heads_on(spaces.Box(0, high, (*sides, 3), dtype))
    seen = draw(T, B, *sides, 3, below=256)
    shown = seen.to(torch.uint8) if bytes_ else seen / 255.0
    loss, _ = heads(features(), {"seen": shown})
    for parameter in heads.parameters():
        nn.init.zeros_(parameter)
    blank, _ = heads(features(), {"seen": shown})
    assert loss.shape == (T, B)
    want = [[(seen[t, b] / 255.0).square().mean() for b in range(B)] for t in range(T)]
    torch.testing.assert_close(blank, torch.tensor(want).double(), rtol=1e-5, atol=0)


def test_the_loss_is_the_mean_over_the_entries():
    suit, bits = spaces.Discrete(3), spaces.MultiBinary(2)
    both = heads_on(suit, also=bits)
    assert both.keys == ["also", "seen"]
    obs = {"seen": draw(T, B, below=3), "also": draw(T, B, 2, below=2).bool()}
    alone = [head(features(), obs[key]) for key, head in zip(both.keys, both.heads, strict=True)]
    got = both(features(), obs)
    torch.testing.assert_close(got.loss, (alone[0].loss + alone[1].loss) / 2)
    torch.testing.assert_close(got.right, (alone[0].right + alone[1].right) / 2)


TOLD = {
    "action_mask": spaces.MultiBinary(3),
    "prev_action": spaces.Discrete(4),
    "prev_reward": spaces.Box(-1.0, 1.0, (1,), np.float32),
    "mission": Tokens(5, 3),
}


def test_what_a_policy_is_told_has_no_head():
    assert heads_on(spaces.Discrete(2), **TOLD).keys == ["seen"]


def test_an_observation_without_anything_to_predict_is_refused():
    space = spaces.Dict(TOLD)
    with pytest.raises(ValueError, match=r"mission, prev_action.*predicts nothing: allowed is at"):
        ObservationHeads(space, F, encoder(space))
