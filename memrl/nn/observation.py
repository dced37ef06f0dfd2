"""Encode a dict observation: one encoder for each entry, with concatenated features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.errors import nearest
from memrl.nn.encoder import Encoder
from memrl.nn.grid import GridEncoder
from memrl.nn.init import linear
from memrl.nn.normalise import RunningNorm
from memrl.nn.pixels import PixelEncoder
from memrl.nn.sentence import SentenceEncoder
from memrl.nn.vectors import Bits, OneHot, Plain, VectorEncoder
from memrl.rollout.env import Obs
from memrl.rollout.masks import mask_size
from memrl.rollout.spaces import MASK, brief_space
from memrl.rollout.tokens import Tokens

GRID_SIDE = 32  # a uint8 [W, H, C] with smaller sides is a grid of codes, else an image
LEAST_SIDE = 8  # of a picture: three convolutions halve it
MOST_CHANNELS = 4  # of a picture of floats; any other box is a vector
MOST_VALUES = 2**14  # that an entry encoded as one-hot or as bits may have
MOST_NUMBERS = 2**20  # of a vector
DISCRETE_GAIN = 4.0  # of their layer, orthogonal; with √2 a memory learns from them too slowly
DISCRETE_DIMS = (32, 256)  # fewest and most features: fewer than values would mix them up
PREV_ACTION, PREV_REWARD = "prev_action", "prev_reward"


class ObsEncoder(Encoder):
    """Concatenate the features of all entries but the action mask, in the order of their names.

    Grids, images, sentences and vectors are encoded to ``encoder_dim`` features each. Discrete
    entries and bits become ``discrete_dim`` features of all of them, which come last; None: as many
    as they have values, within `DISCRETE_DIMS`. The previous
    reward is not changed. Then the entries ``beside`` follow once more, in their order, as plain
    numbers: those of a vector, bits, or a one-hot code.

    Raises:
        ValueError: an entry of the space has no encoder; one of ``beside`` is not there, or is a
            grid, a picture or a sentence.
    """

    unit: Tensor

    def __init__(
        self,
        space: spaces.Dict,
        encoder_dim: int,
        *,
        cell_dim: int,
        discrete_dim: int | None,
        normalise: bool,
        beside: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.keys = [key for key in sorted(space.spaces) if key != MASK]
        if not self.keys:
            raise ValueError(
                f"the observation space is {brief_space(space)}; allowed: at least one "
                "entry to encode"
            )
        self.register_buffer("unit", torch.zeros(()), persistent=False)  # dtype of the features
        self.parts = nn.ModuleList()
        self.features_dim, values = 0, 0
        for key in self.keys:
            part, width = _part(key, space[key], encoder_dim, cell_dim, normalise)
            self.parts.append(part)
            if isinstance(part, OneHot | Bits):
                values += width
            else:
                self.features_dim += width
        self.discrete: nn.Linear | None = None
        if values:
            fewest, most = DISCRETE_DIMS
            width = discrete_dim or min(max(values, fewest), most)
            self.discrete = linear(values, width, DISCRETE_GAIN)
            self.features_dim += width
        self.beside = tuple(beside)
        self.beside_dim = sum(self._plain_width(key, space) for key in beside)
        self.features_dim += self.beside_dim

    def _plain_width(self, key: str, space: spaces.Dict) -> int:
        """How many numbers an entry of ``beside`` has."""
        if key not in self.keys:
            known = ", ".join(self.keys)
            raise ValueError(
                f"policy.beside has {key!r}, which is no entry of the observation"
                f"{nearest(key, self.keys)} (allowed: {known})"
            )
        match self.parts[self.keys.index(key)]:
            case VectorEncoder() as part:
                return part.mix.in_features
            case OneHot() | Plain() as part:
                return part.out_dim
        raise ValueError(
            f"policy.beside has {key!r}, which is a {brief_space(space[key])} (allowed: vectors, "
            "Discrete, MultiDiscrete, MultiBinary)"
        )

    def forward(self, obs: Obs) -> Tensor:
        features: list[Tensor] = []
        bits: list[Tensor] = []
        for key, part in zip(self.keys, self.parts, strict=True):
            made = part(obs[key]).to(self.unit.dtype)
            (bits if isinstance(part, OneHot | Bits) else features).append(made)
        if self.discrete is not None:
            features.append(self.discrete(torch.cat(bits, dim=-1)).relu())
        for key in self.beside:
            part = self.parts[self.keys.index(key)]
            plain = part.flat if isinstance(part, VectorEncoder) else part
            features.append(plain(obs[key]).to(self.unit.dtype))
        return torch.cat(features, dim=-1)

    def standardises(self, key: str) -> RunningNorm | None:
        part = dict(zip(self.keys, self.parts, strict=True)).get(key)
        return part.norm if isinstance(part, VectorEncoder) else None

    def update(self, obs: Obs, valid: Tensor) -> None:
        for key, part in zip(self.keys, self.parts, strict=True):
            if isinstance(part, VectorEncoder) and part.norm is not None:
                part.norm.update(part.flat(obs[key]).flatten(0, 1), valid.flatten())


def _part(
    key: str, space: spaces.Space[object], encoder_dim: int, cell_dim: int, normalise: bool
) -> tuple[nn.Module, int]:
    _check_size(key, space)
    part = _choose(key, space, encoder_dim, cell_dim, normalise)
    if part is None:
        raise ValueError(
            f"observation {key!r} is a {brief_space(space)}; allowed: Box of a uint8 grid or "
            "image [H, W, C], Box of numbers, Discrete, MultiDiscrete, MultiBinary, Tokens"
        )
    return part, part.out_dim


def _check_size(key: str, space: spaces.Space[object]) -> None:
    """Refuse an entry whose first layer would be larger than all else, or would not exist."""
    what, advice = f"observation {key!r} is a {brief_space(space)}", ""
    match space:
        case Tokens():
            return
        case spaces.Discrete() | spaces.MultiDiscrete():
            size, most = mask_size(space) or 0, MOST_VALUES
            advice = "; digits as MultiDiscrete are short"
        case spaces.MultiBinary():
            size, most = int(np.prod(space.shape)), MOST_VALUES
        case spaces.Box() if space.dtype == np.uint8 and len(space.shape) == 3:
            if max(space.shape[:2]) >= GRID_SIDE and min(space.shape[:2]) < LEAST_SIDE:
                raise ValueError(f"{what}, allowed: pictures with sides of at least {LEAST_SIDE}")
            return
        case spaces.Box() if not _is_float_picture(space):
            size, most = int(np.prod(space.shape)), MOST_NUMBERS
        case _:
            return
    if size > most:
        raise ValueError(
            f"{what}, allowed: at most {most:,} values{advice}; an encoder of your own "
            "(policy.encoder=module:Name) may take more"
        )


def _choose(
    key: str, space: spaces.Space[object], encoder_dim: int, cell_dim: int, normalise: bool
) -> GridEncoder | PixelEncoder | SentenceEncoder | VectorEncoder | OneHot | Bits | Plain | None:
    match space:
        case Tokens():
            return SentenceEncoder(space.num_symbols, encoder_dim, cell_dim)
        case spaces.Discrete():
            return OneHot([int(space.n)], scalar=True)
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            return OneHot([int(n) for n in space.nvec], scalar=False)
        case spaces.MultiBinary():
            return Bits(tuple(space.shape))
        case spaces.Box() if key == PREV_REWARD:
            return Plain(space.shape)
        case spaces.Box() if is_grid(space):
            return GridEncoder(space.shape, encoder_dim, cell_dim)
        case spaces.Box() if is_picture(space):
            return PixelEncoder(space.shape, encoder_dim)
        case spaces.Box():
            return VectorEncoder(space.shape, encoder_dim, normalise)
        case _:
            return None


def is_grid(space: spaces.Box) -> bool:
    """Whether this is a grid of codes [W, H, C]."""
    whole = space.dtype == np.uint8 and len(space.shape) == 3
    return whole and max(space.shape[:2]) < GRID_SIDE


def is_picture(space: spaces.Box) -> bool:
    """Whether this is a picture [H, W, C], of bytes or of brightnesses from 0 to 1."""
    if space.dtype == np.uint8:
        return len(space.shape) == 3 and not is_grid(space)
    return _is_float_picture(space)


def _is_float_picture(space: spaces.Box) -> bool:
    """Are these brightnesses from 0 to 1, [H, W, C], with sides that the convolutions take?"""
    if len(space.shape) != 3 or space.dtype == np.uint8:
        return False
    height, width, channels = space.shape
    bounded = bool((space.low >= 0).all() and (space.high <= 1).all())
    return bounded and min(height, width) >= LEAST_SIDE and channels <= MOST_CHANNELS
