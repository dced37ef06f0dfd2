"""Heads that predict an observation from features: one for each entry, by its space."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.nn.encoder import Encoder
from memrl.nn.init import linear
from memrl.nn.normalise import RunningNorm
from memrl.nn.observation import PREV_ACTION, PREV_REWARD, is_grid, is_picture
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK
from memrl.rollout.tokens import Tokens

UNPREDICTED: Final = (MASK, PREV_ACTION, PREV_REWARD)


class Errors(NamedTuple):
    """How far predictions of the batch axes N are from what they predict."""

    loss: Tensor  # [*N]
    right: Tensor | None  # [*N] share of discrete values that are predicted right; None: no such


class Choices(nn.Module):
    """Discrete values [*N] or [*N, D]: their mean cross-entropy in nats."""

    def __init__(self, in_dim: int, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.layer = linear(in_dim, sum(sizes), gain=1.0)

    def forward(self, features: Tensor, seen: Tensor) -> Errors:
        columns = seen.long().reshape(*features.shape[:-1], len(self.sizes)).unbind(-1)
        parts = self.layer(features).split_with_sizes(self.sizes, dim=-1)
        log_probs = [F.log_softmax(part, dim=-1) for part in parts]
        pairs = list(zip(log_probs, columns, strict=True))
        nats = [-p.gather(-1, c.unsqueeze(-1)).squeeze(-1) for p, c in pairs]
        right = [(p.argmax(-1) == c).to(p.dtype) for p, c in pairs]
        return Errors(torch.stack(nats).mean(0), torch.stack(right).mean(0))


class Codes(nn.Module):
    """Codes below 2^bits, each predicted as independent binary digits: their mean nats.

    Bits are codes of one digit. MiniGrid declares 256 codes for each of 147 values, of which it
    uses eleven at most: a digit an output, they take 1,176, and a code an output, 37,632.
    """

    weights: Tensor

    def __init__(self, in_dim: int, count: int, bits: int) -> None:
        super().__init__()
        self.count = count
        self.layer = linear(in_dim, count * bits, gain=1.0)
        self.register_buffer("weights", 2 ** torch.arange(bits), persistent=False)

    def forward(self, features: Tensor, seen: Tensor) -> Errors:
        codes = seen.long().reshape(*features.shape[:-1], self.count, 1)
        digits = codes.bitwise_and(self.weights) > 0  # [*N, count, bits]
        logits = self.layer(features).view(digits.shape)
        nats = F.binary_cross_entropy_with_logits(logits, digits.to(logits), reduction="none")
        right = ((logits > 0) == digits).all(-1)
        return Errors(nats.sum(-1).mean(-1), right.to(logits.dtype).mean(-1))


class Numbers(nn.Module):
    """Numbers [*N, *shape], standardised as the encoder does: their mean squared error."""

    def __init__(self, in_dim: int, count: int, norm: RunningNorm | None) -> None:
        super().__init__()
        self.count = count
        self.layer = linear(in_dim, count, gain=1.0)
        self._norm = [norm]  # in a list: it is a part of the encoder, not of this head

    def forward(self, features: Tensor, seen: Tensor) -> Errors:
        wanted = seen.reshape(*features.shape[:-1], self.count).to(features.dtype)
        (norm,) = self._norm
        if norm is not None:
            wanted = norm(wanted)
        return Errors((self.layer(features) - wanted).square().mean(-1), None)


class Picture(nn.Module):
    """A picture [*N, H, W, C] of brightnesses from 0 to 1: their mean squared error.

    Its layers are those of ``PixelEncoder`` in reverse.
    """

    def __init__(self, in_dim: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        height, width, channels = shape
        self.sizes = [[height // n, width // n] for n in (4, 2, 1)]
        self.smallest = 32, height // 8, width // 8
        self.mix = linear(in_dim, int(np.prod(self.smallest)))
        widths = (32, 32, 16, channels)
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(*pair, kernel_size=4, stride=2, padding=1)
            for pair in pairwise(widths)
        )

    def forward(self, features: Tensor, seen: Tensor) -> Errors:
        planes = self.mix(features).flatten(0, -2).unflatten(-1, self.smallest)
        for layer, size in zip(self.layers, self.sizes, strict=True):
            planes = layer(planes.relu(), output_size=size)
        scale = 255.0 if seen.dtype == torch.uint8 else 1.0
        wanted = seen.flatten(0, -4).movedim(-1, 1).to(planes.dtype) / scale
        error = (planes - wanted).square().mean((1, 2, 3))
        return Errors(error.view(features.shape[:-1]), None)


@final
class ObservationHeads(nn.Module):
    """Predict the entries of an observation from features; the loss is the mean over entries.

    Discrete values, bits and codes of a grid have cross-entropies, in nats for each value; numbers
    and pictures have squared errors. What a policy is told and need not find out has no head: the
    action mask, the previous action (its own choice), the previous reward, and sentences, which
    most tasks repeat at every step.

    Args:
        space: the entries of one environment.
        in_dim: F, the width of the features.
        encoder: its statistics standardise vectors; of an encoder of your own, they are not.

    Attributes:
        discrete: whether an entry has discrete values, bits or codes.

    Raises:
        ValueError: no entry has a head.
    """

    def __init__(self, space: spaces.Dict, in_dim: int, encoder: Encoder) -> None:
        super().__init__()
        self.keys: list[str] = []
        self.heads = nn.ModuleList()
        for key in sorted(space.spaces):
            known = key not in UNPREDICTED
            head = _head(space[key], in_dim, encoder.standardises(key)) if known else None
            if head is not None:
                self.keys.append(key)
                self.heads.append(head)
        self.discrete = any(isinstance(head, Choices | Codes) for head in self.heads)
        if not self.keys:
            raise ValueError(
                f"the observation is {', '.join(space.spaces)}, of which an auxiliary loss predicts"
                f" nothing: allowed is at least one entry but {', '.join(UNPREDICTED)} and Tokens"
            )

    def forward(self, features: Tensor, obs: Obs) -> Errors:
        """Features [*N, F] and the entries [*N, ...] that they should predict."""
        errors = [head(features, obs[key]) for key, head in zip(self.keys, self.heads, strict=True)]
        right = [each.right for each in errors if each.right is not None]
        loss = torch.stack([each.loss for each in errors]).mean(0)
        return Errors(loss, torch.stack(right).mean(0) if right else None)


def _head(space: spaces.Space[object], in_dim: int, norm: RunningNorm | None) -> nn.Module | None:
    match space:
        case Tokens():
            return None
        case spaces.Discrete():
            return Choices(in_dim, [int(space.n)])
        case spaces.MultiDiscrete():
            return Choices(in_dim, [int(n) for n in space.nvec.reshape(-1)])
        case spaces.MultiBinary():
            return Codes(in_dim, int(np.prod(space.shape)), 1)
        case spaces.Box() if is_grid(space):
            return Codes(in_dim, int(np.prod(space.shape)), int(space.high.max()).bit_length() or 1)
        case spaces.Box() if is_picture(space):
            return Picture(in_dim, space.shape)
        case spaces.Box():
            return Numbers(in_dim, int(np.prod(space.shape)), norm)
        case _:
            return None
