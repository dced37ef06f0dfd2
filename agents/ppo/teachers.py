"""Policy distillation: trained policies say what they would do wherever the agent acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from memrl.losses.ppo import masked_mean
from memrl.memory import state as states
from memrl.nn.actions import ActionHead
from memrl.nn.normalise import RunningNorm, standardised, unstandardised
from memrl.policies.actor_critic import Policy, PolicyUnrolled
from memrl.rollout.storage import Chunk, Rollout

VALUE = "value"


class Teacher(NamedTuple):
    """A trained policy, and what standardises the returns that its critic predicts, if anything."""

    policy: Policy
    return_norm: RunningNorm | None


class ImitationLoss(NamedTuple):
    """Means over the valid steps of a minibatch."""

    kl: Tensor  # KL(teacher ‖ agent) in nats, the mean over the teachers
    value: Tensor  # half the squared distance of the values, the mean over the teachers


@final
class Teachers:
    """What each teacher would do at the steps of a rollout, and the distance of a policy from it.

    The agent acts (on-policy: Czarnecki et al. 2019); teachers follow the observations with
    memories of their own, which a start empties. The loss is that of Rusu et al. 2016, eq. 3, at a
    temperature of 1. Of several teachers its minimum is the mean of their distributions.

    Args:
        teachers: one or more, over the agent's observations and actions; they are frozen.
        rollout: of the agent; ``follow`` writes what they would do into it.
        return_norm: standardises the returns that the agent's critic predicts; None: nothing does.
    """

    def __init__(
        self, teachers: Sequence[Teacher], rollout: Rollout, return_norm: RunningNorm | None
    ) -> None:
        self.teachers, self.return_norm = teachers, return_norm
        for policy, _ in teachers:
            policy.requires_grad_(False).eval()
        rows = rollout.start.shape[1]
        self.states = [states.clone(policy.initial_state(rows)) for policy, _ in teachers]

    @torch.no_grad()
    def follow(self, rollout: Rollout) -> None:
        """Write what the teachers would do at each step; their memories go on from there."""
        for i, (policy, norm) in enumerate(self.teachers):
            out = policy(rollout.obs, self.states[i], rollout.start)
            self.states[i] = out.state
            value = standardised(unstandardised(out.value, norm), self.return_norm)
            teach(rollout, i, out._replace(value=value))

    def loss(
        self, head: ActionHead, chunk: Chunk, out: PolicyUnrolled, count: Tensor
    ) -> ImitationLoss:
        """The distance of a policy's outputs for a chunk from what the teachers would do.

        ``count`` [] is ``mean_count(chunk.valid)``, which the caller knows.
        """
        return imitation_loss(head, chunk, out, count, len(self.teachers))

    def state_dict(self) -> dict[str, Any]:
        """The states of the teachers' memories."""
        return {str(i): states.flatten(state) for i, state in enumerate(self.states)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.states = [states.loaded(own, saved[str(i)]) for i, own in enumerate(self.states)]


def teach(rollout: Rollout, number: int, out: PolicyUnrolled) -> None:
    """Write outputs [T, B] of teacher ``number`` into a rollout, in place after the first time."""
    for name, x in {**out.actions.parameters(), VALUE: out.value}.items():
        key = f"{number}.{name}"
        if key not in rollout.taught:
            rollout.taught[key] = torch.empty_like(x)
        rollout.taught[key].copy_(x)


def imitation_loss(
    head: ActionHead,
    chunk: Chunk,
    out: PolicyUnrolled,
    count: Tensor,
    teachers: int = 1,
) -> ImitationLoss:
    """The distance of outputs for a chunk from what is taught there by so many ``teachers``.

    ``head`` is that of a policy over the same actions; ``count`` as in ``Teachers.loss``.
    """
    kl, value = list[Tensor](), list[Tensor]()
    for i in range(teachers):
        prefix = f"{i}."
        taught = {
            name.removeprefix(prefix): x
            for name, x in chunk.taught.items()
            if name.startswith(prefix)
        }
        error = out.value.to(taught[VALUE].dtype) - taught.pop(VALUE)
        far = head.distribution(taught).kl(out.actions)
        kl.append(masked_mean(far, chunk.valid, count))
        value.append(0.5 * masked_mean(error.square(), chunk.valid, count))
    return ImitationLoss(torch.stack(kl).mean(), torch.stack(value).mean())
