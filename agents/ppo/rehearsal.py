"""Rehearsal: what earlier policies did in earlier tasks is learned again beside a new one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor

from memrl.agents.ppo.config import PPOConfig
from memrl.agents.ppo.teachers import VALUE, ImitationLoss, imitation_loss
from memrl.losses.ppo import mean_counts, moments
from memrl.losses.vtrace import VTraceLoss, vtrace, vtrace_loss
from memrl.nn.normalise import RunningNorm, standardised, unstandardised
from memrl.policies.actor_critic import Policy, PolicyUnrolled
from memrl.rollout.packing import by_episode
from memrl.rollout.storage import Chunk, Rollout, Spans

_VALUE: Final = f"0.{VALUE}"
_REWARD, _TERMINATED = "reward", "terminated"  # further entries that chunks need


class _Drawn(NamedTuple):
    """Sequences of an earlier task."""

    rollout: Rollout
    spans: Spans
    steps: Tensor  # [], as `memrl.losses.ppo.mean_count` of those with a loss


class Rehearsed(NamedTuple):
    """The losses on sequences of an earlier task."""

    cloning: ImitationLoss
    vtrace: VTraceLoss | None  # None if the old rewards are not learned from


@final
class Rehearsal:
    """Sequences of earlier tasks, and losses of a policy on them.

    The losses are those of CLEAR (Rolnick et al. 2019): behavioural and value cloning, and, if
    ``rehearsal.vtrace`` weights them, policy gradient and value loss with V-trace's targets, which
    correct for the policy that acted by the log-probabilities of its actions.

    Args:
        policy: of the agent; its memory may be another one than that of the earlier policies.
        rollouts: one for each earlier task, with what its policy would do as ``taught``; values
            are in units of reward.
        config: its options.
        generator: draws the sequences.
        return_norm: standardises the returns that the agent's critic predicts; None: nothing does.
    """

    def __init__(
        self,
        policy: Policy,
        rollouts: Sequence[Rollout],
        config: PPOConfig,
        generator: torch.Generator,
        return_norm: RunningNorm | None,
    ) -> None:
        self.policy, self.rollouts, self.config = policy, rollouts, config
        self.generator, self.return_norm = generator, return_norm
        self.values = [rollout.taught[_VALUE].clone() for rollout in rollouts]
        for rollout in rollouts:
            rollout.taught |= {_REWARD: rollout.reward, _TERMINATED: rollout.terminated}
        self._drawn = deque[_Drawn]()

    def refresh(self, refresh_states: Callable[[Rollout], object]) -> None:
        """Before an iteration: memory states, and values, as the present networks have them."""
        for rollout, value in zip(self.rollouts, self.values, strict=True):
            # They begin with a start, so that the states before them count for nothing.
            rollout.hold(self.policy.initial_state(rollout.start.shape[1]))
            refresh_states(rollout)
            rollout.taught[_VALUE].copy_(standardised(value, self.return_norm))

    def draw(self, minibatches: int) -> None:
        """Draw the sequences of as many calls of ``loss``: of each, some of one earlier task.

        Each task is as likely as the others. Ranks exchange the numbers of steps of all at once.
        """
        drawn = [self._one() for _ in range(minibatches)]
        steps = mean_counts([r.advantages(spans, spans.longest())[1] for r, spans in drawn])
        self._drawn = deque(_Drawn(*each, n) for each, n in zip(drawn, steps, strict=True))

    def _one(self) -> tuple[Rollout, Spans]:
        which = int(torch.randint(len(self.rollouts), (), generator=self.generator))
        rollout = self.rollouts[which]
        size = (min(self.config.rehearsal.chunks, rollout.num_chunks()),)
        index = torch.randint(rollout.num_chunks(), size, generator=self.generator)
        return rollout, rollout.spans(index)

    def loss(self) -> Rehearsed:
        """The losses on the next sequences that ``draw`` drew."""
        rollout, spans, count = self._drawn.popleft()
        chunk = by_episode(rollout.gather(spans, spans.longest()))
        out = self.policy(chunk.obs, chunk.state, chunk.start)
        cloning = imitation_loss(self.policy.actor, chunk, out, count)
        return Rehearsed(
            cloning, self._vtrace(chunk, out) if self.config.rehearsal.vtrace else None
        )

    def _vtrace(self, chunk: Chunk, out: PolicyUnrolled) -> VTraceLoss:
        """Policy gradient and value loss by the rewards of a chunk, in units of the critic."""
        terminated, log_prob = chunk.taught[_TERMINATED], out.actions.log_prob(chunk.action)
        follows = torch.zeros_like(chunk.valid)  # the next step is there and of the same episode
        follows[:-1] = chunk.valid[1:] & ~chunk.start[1:]
        cut = ~follows & ~terminated
        found = vtrace(
            torch.where(chunk.valid, log_prob.detach() - chunk.log_prob, 0.0),
            chunk.taught[_REWARD],
            unstandardised(out.value.detach(), self.return_norm),
            terminated,
            cut,
            gamma=self.config.gamma,
        )
        valid, advantage = chunk.valid & ~cut, found.advantage
        (of_all,) = moments([(advantage, valid)])
        if self.config.normalise_advantages:
            advantage = of_all.standardise(advantage)
        target = standardised(found.target, self.return_norm)
        return vtrace_loss(log_prob, out.value, target, advantage, valid, of_all.steps)

    def state_dict(self) -> dict[str, Any]:
        """The generator; the sequences are not in it."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``, with the same sequences."""
        self.generator.set_state(state["generator"].cpu())
