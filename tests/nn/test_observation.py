"""How the entries of a dict observation come together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from memrl.nn.observation import DISCRETE_GAIN, ObsEncoder

ENCODER_DIM, DISCRETE_DIM = 7, 31
SPACE = spaces.Dict(
    {
        "action_mask": spaces.MultiBinary(3),
        "bits": spaces.MultiBinary(5),
        "cards": spaces.MultiDiscrete([2, 3]),
        "prev_reward": spaces.Box(-1.0, 1.0, (1,), np.float32),
        "suit": spaces.Discrete(4),
        "vector": spaces.Box(-1.0, 1.0, (2,), np.float32),
    }
)


def encoder(space: spaces.Dict) -> ObsEncoder:
    sizes = {"cell_dim": 3, "discrete_dim": DISCRETE_DIM}
    return ObsEncoder(space, ENCODER_DIM, **sizes, normalise=False).double()


def observed(*axes: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {
        "action_mask": torch.ones(*axes, 3, dtype=torch.bool),
        "bits": torch.randint(2, (*axes, 5), generator=draw, dtype=torch.int8),
        "cards": torch.stack(
            [torch.randint(n, axes, generator=draw) for n in (2, 3)], dim=-1
        ),
        "prev_reward": torch.randn(*axes, 1, generator=draw),
        "suit": torch.randint(4, axes, generator=draw),
        "vector": torch.randn(*axes, 2, generator=draw),
    }  # fmt: skip


def test_discrete_entries_and_bits_share_one_hidden_layer():
    whole, obs = encoder(SPACE), observed(11)
    assert whole.features_dim == 1 + ENCODER_DIM + DISCRETE_DIM
    weight = whole.discrete.weight
    assert not whole.discrete.bias.any()
    for i in range(11):
        x = torch.zeros(5 + 2 + 3 + 4, dtype=torch.float64)  # bits, cards, suit
        x[:5] = obs["bits"][i]
        x[5 + obs["cards"][i, 0]] = x[7 + obs["cards"][i, 1]] = x[10 + obs["suit"][i]] = 1
        expected = torch.stack([(w @ x).clamp(min=0) for w in weight])  # biases are zero
        torch.testing.assert_close(whole(obs_at(obs, i))[-DISCRETE_DIM:], expected)


def obs_at(obs: dict[str, torch.Tensor], i: int) -> dict[str, torch.Tensor]:
    return {key: value[i] for key, value in obs.items()}


def test_entries_beside_follow_the_features_as_they_are():
    beside = ("suit", "vector", "bits", "prev_reward", "cards")
    plain = encoder(SPACE)
    sizes = {"cell_dim": 3, "discrete_dim": DISCRETE_DIM}
    whole = ObsEncoder(SPACE, ENCODER_DIM, **sizes, normalise=False, beside=beside).double()
    whole.load_state_dict(plain.state_dict())
    obs = observed(3, 11)
    y = whole(obs)
    assert whole.beside_dim == 4 + 2 + 5 + 1 + 5
    assert y.shape == (3, 11, whole.features_dim)
    torch.testing.assert_close(y[..., : plain.features_dim], plain(obs))
    for t in range(3):
        for b in range(11):
            suit, first, second = [0.0] * 4, [0.0] * 2, [0.0] * 3
            suit[obs["suit"][t, b]] = 1.0
            first[obs["cards"][t, b, 0]] = second[obs["cards"][t, b, 1]] = 1.0
            numbers = [obs[key][t, b].tolist() for key in ("vector", "bits", "prev_reward")]
            want = [*suit, *numbers[0], *numbers[1], *numbers[2], *first, *second]
            assert y[t, b, plain.features_dim :].tolist() == want


@pytest.mark.parametrize(
    ("beside", "sentence"),
    [
        ("suits", r"policy.beside has 'suits', .*; did you mean suit\? \(allowed: bits, cards"),
        ("action_mask", "'action_mask', which is no entry of the observation"),
        ("grid", "policy.beside has 'grid', which is a .*allowed: vectors, Discrete"),
    ],
)
def test_an_entry_beside_must_be_there_and_be_plain(beside, sentence):
    space = spaces.Dict({**SPACE.spaces, "grid": spaces.Box(0, 9, (5, 5, 3), np.uint8)})
    with pytest.raises(ValueError, match=sentence):
        ObsEncoder(space, 7, cell_dim=3, discrete_dim=5, normalise=False, beside=[beside])


def test_their_weights_start_orthogonal_and_large():
    weight = encoder(SPACE).discrete.weight
    torch.testing.assert_close(
        weight.T @ weight, DISCRETE_GAIN**2 * torch.eye(14).double(), atol=1e-5, rtol=0
    )


def test_without_discrete_entries_there_is_no_such_layer():
    whole = encoder(spaces.Dict({"vector": SPACE["vector"]}))
    assert whole.discrete is None
    assert whole.features_dim == ENCODER_DIM


@pytest.mark.parametrize("axes", [(5,), (3, 5)])
def test_time_and_batch_are_kept(axes):
    whole, obs = encoder(SPACE), observed(*axes)
    assert whole(obs).shape == (*axes, whole.features_dim)
    torch.testing.assert_close(whole(obs).flatten(0, -2)[4], whole(flat(obs, len(axes)))[4])


def flat(obs: dict[str, torch.Tensor], axes: int) -> dict[str, torch.Tensor]:
    return {key: value.flatten(0, axes - 1) for key, value in obs.items()}


@pytest.mark.parametrize("normalise", [False, True])
def test_large_numbers_are_encoded_within_bounds_and_still_told_apart(normalise):
    space = spaces.Dict({"velocity": spaces.Box(-28.0, 28.0, (3,), np.float32)})
    whole = ObsEncoder(space, 17, cell_dim=3, discrete_dim=5, normalise=normalise)
    velocity = torch.linspace(-28, 28, 3).unsqueeze(1).expand(3, 3)
    seen = {"velocity": velocity.unsqueeze(1)}  # [T, B, D]
    whole.update(seen, torch.ones(3, 1, dtype=torch.bool))
    y = whole({"velocity": velocity})
    assert y.abs().max() <= 1
    assert torch.cdist(y, y)[~torch.eye(3, dtype=torch.bool)].min() > 0.1
    torch.testing.assert_close(y, -y.flip(0), atol=1e-6, rtol=0)  # no sign is cut off, as by a ReLU


@pytest.mark.parametrize(("values", "width"), [(5, 32), (71, 71), (1009, 256)])
def test_discrete_entries_get_as_many_features_as_values_within_bounds(values, width):
    space = spaces.Dict({"obs": spaces.Discrete(values)})
    made = ObsEncoder(space, 17, cell_dim=3, discrete_dim=None, normalise=False)
    assert made.features_dim == width
    assert made({"obs": torch.tensor([0, values - 1])}).shape == (2, width)
