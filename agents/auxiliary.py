"""Auxiliary losses: what a memory holds should predict what is, was or will be observed."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, final

from gymnasium import spaces
from pydantic import model_validator
from torch import Tensor, nn

from memrl.agents.config import Count, Positive
from memrl.losses.auxiliary import has_partner
from memrl.losses.ppo import masked_mean, mean_count
from memrl.nn.observation_heads import ObservationHeads
from memrl.options import Strict, need_reader
from memrl.policies.actor_critic import Policy
from memrl.policies.q_network import QNetwork
from memrl.rollout.env import Obs


class AuxiliaryConfig(Strict):
    """A loss beside the agent's own that trains the memory and the encoder."""

    kind: Literal["none", "reconstruct", "predict", "recall"] = "none"
    weight: Positive = 0.1
    distance: Count = 8  # env steps from the observation that is recalled

    READ_BY: ClassVar[dict[str, tuple[str, ...]]] = {
        "weight": ("reconstruct", "predict", "recall"),
        "distance": ("recall",),
    }

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> AuxiliaryConfig:
        need_reader(self, self.kind, "agent.auxiliary", self.READ_BY)
        return self

    @property
    def offset(self) -> int:
        """Env steps from the memory's output to the observation that it predicts."""
        return {"predict": 1, "recall": -self.distance}.get(self.kind, 0)

    def need_within(self, steps: int, what: str) -> None:
        """Raise ValueError if no sequence of ``steps`` env steps, which ``what`` says, has a loss.

        With ``predict`` a sequence of one step would have none either.
        """
        if abs(self.offset) < steps:
            return
        if self.kind == "predict":
            raise ValueError(
                f"agent.auxiliary.kind=predict with {what}: allowed are sequences of 2 or more"
            )
        raise ValueError(
            f"agent.auxiliary.distance={self.distance}, allowed: below {steps}, since {what}"
        )


class AuxiliaryLoss(NamedTuple):
    """Means over the steps of a minibatch that have something to predict; 0 where none has."""

    loss: Tensor
    accuracy: Tensor | None  # share of discrete values predicted right; None: there are none

    def named(self) -> dict[str, Tensor]:
        """Both by their names among the metrics of training."""
        known = {} if self.accuracy is None else {"auxiliary_accuracy": self.accuracy}
        return {"auxiliary": self.loss} | known


@final
class Auxiliary(nn.Module):
    """Predicts observations from the output of a network's memory.

    ``reconstruct`` predicts the observation that the memory has just read, ``predict`` the next one
    (without being told the action), ``recall`` the one ``distance`` env steps before. Nothing is
    predicted across the end of an episode or the edge of a sequence. The heads read the memory
    alone (of a policy with two, the actor's), not what a skip connection adds.

    Args:
        network: what is trained; its heads, and acting, are not changed.
        space: the observations of one environment.
        config: of a kind but none.

    Attributes:
        metrics: the names of what a learner logs of it.

    Raises:
        ValueError: see ``ObservationHeads``.
    """

    def __init__(
        self, network: Policy | QNetwork, space: spaces.Dict, config: AuxiliaryConfig
    ) -> None:
        super().__init__()
        self.weight, self.offset = config.weight, config.offset
        self.heads = ObservationHeads(space, network.memory_dim, network.encoder)
        like = next(network.parameters())
        self.to(like.device, like.dtype)
        accuracy = ("train/auxiliary_accuracy",) if self.heads.discrete else ()
        self.metrics = ("train/auxiliary", *accuracy, "grad_norm/auxiliary")

    def forward(self, memory: Tensor, obs: Obs, start: Tensor, valid: Tensor) -> AuxiliaryLoss:
        """The loss of sequences of L steps.

        Args:
            memory: [T, M, O] the memory's output at the last T of the L steps.
            obs: each [L, M, ...].
            start: bool [L, M], the first steps of episodes.
            valid: bool [L, M], the steps that may have a loss.
        """
        L = len(start)
        warm = L - len(memory)
        begin = max(warm, -self.offset)
        end = max(begin, L - max(self.offset, 0))
        now, then = slice(begin, end), slice(begin + self.offset, end + self.offset)
        features = memory[begin - warm : end - warm].to(next(self.parameters()).dtype)
        errors = self.heads(features, {key: value[then] for key, value in obs.items()})
        known = has_partner(start, valid, self.offset)[now]
        right, count = errors.right, mean_count(known)
        accuracy = None if right is None else masked_mean(right, known, count).detach()
        return AuxiliaryLoss(masked_mean(errors.loss, known, count), accuracy)


def make_auxiliary(
    network: Policy | QNetwork, space: spaces.Dict, config: AuxiliaryConfig
) -> Auxiliary | None:
    """The auxiliary loss of a config; None for ``kind=none``. It raises as ``Auxiliary``."""
    return None if config.kind == "none" else Auxiliary(network, space, config)
