"""The protocol of an encoder: what turns observations into the features that a memory reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from torch import Tensor, nn

from memrl.nn.normalise import RunningNorm
from memrl.registry import Registry
from memrl.rollout.env import Obs


class Encoder(nn.Module, ABC):
    """A map from a dict observation to features, the same for every row and time step.

    ``policy.encoder=module:Name`` builds ``Name(observation_space, encoder_dim, **options)``: a
    ``gymnasium.spaces.Dict``, the width that the config asks for, and ``policy.encoder_options``,
    which are the keyword-only arguments of the constructor. These need types.

    Attributes:
        features_dim: F, the width of the features; ``encoder_dim``, or what suits the space.
        beside_dim: how many of them, the last ones, are the entries ``policy.beside`` as they are.
    """

    features_dim: int
    beside_dim: int = 0

    @abstractmethod
    def forward(self, obs: Obs) -> Tensor:
        """Entries [*N, ...] to features [*N, F]; N is the batch [B], or time and batch [T, B].

        The entry ``action_mask``, where there is one, chooses among actions and is no feature.
        """

    def update(self, obs: Obs, valid: Tensor) -> None:
        """Take a rollout into running statistics: entries [T, B, ...], ``valid`` bool [T, B].

        Agents call it between two times of learning, so that acting and learning see the same
        statistics. They must be buffers, or a checkpoint would not hold them.
        """

    def standardises(self, key: str) -> RunningNorm | None:
        """What standardises the numbers of an entry; None: nothing does, or it is not told."""
        return None


ENCODERS: Final[Registry[Encoder]] = Registry(
    "encoder", "encoders", Encoder, "memrl.encoders", key="policy.encoder"
)
