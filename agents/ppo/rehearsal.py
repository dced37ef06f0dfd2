"""Rehearsal: what earlier policies did in earlier tasks is cloned while a new one is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch

from memrl.agents.ppo.config import RehearsalConfig
from memrl.agents.ppo.teachers import VALUE, ImitationLoss, imitation_loss
from memrl.nn.normalise import RunningNorm, standardised
from memrl.policies.actor_critic import Policy
from memrl.rollout.packing import by_episode
from memrl.rollout.storage import Rollout

_VALUE: Final = f"0.{VALUE}"


@final
class Rehearsal:
    """Sequences of earlier tasks, and the distance of a policy from what was done there.

    The losses are those of CLEAR (Rolnick et al. 2019, eqs. 2 and 3): behavioural and value
    cloning. The sequences are not learned from by their rewards, as CLEAR does with V-trace.

    Args:
        policy: of the agent; its memory may be another one than that of the earlier policies.
        rollouts: one for each earlier task, with what its policy would do as ``taught``; values
            are in units of reward.
        config: its options of rehearsal.
        generator: draws the sequences.
        return_norm: standardises the returns that the agent's critic predicts; None: nothing does.
    """

    def __init__(
        self,
        policy: Policy,
        rollouts: Sequence[Rollout],
        config: RehearsalConfig,
        generator: torch.Generator,
        return_norm: RunningNorm | None,
    ) -> None:
        self.policy, self.rollouts, self.config = policy, rollouts, config
        self.generator, self.return_norm = generator, return_norm
        self.values = [rollout.taught[_VALUE].clone() for rollout in rollouts]

    def refresh(self, refresh_states: Callable[[Rollout], object]) -> None:
        """Before an iteration: memory states, and values, as the present networks have them."""
        for rollout, value in zip(self.rollouts, self.values, strict=True):
            # They begin with a start, so that the states before them count for nothing.
            rollout.hold(self.policy.initial_state(rollout.start.shape[1]))
            refresh_states(rollout)
            rollout.taught[_VALUE].copy_(standardised(value, self.return_norm))

    def loss(self) -> ImitationLoss:
        """The distance on some sequences of one earlier task, each as likely as the others."""
        which = int(torch.randint(len(self.rollouts), (), generator=self.generator))
        rollout = self.rollouts[which]
        size = (min(self.config.chunks, rollout.num_chunks()),)
        index = torch.randint(rollout.num_chunks(), size, generator=self.generator)
        chunk = by_episode(rollout.chunks(index))
        out = self.policy(chunk.obs, chunk.state, chunk.start)
        return imitation_loss(self.policy.actor, chunk, out)

    def state_dict(self) -> dict[str, Any]:
        """The generator; the sequences are not in it."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``, with the same sequences."""
        self.generator.set_state(state["generator"].cpu())
