"""Action values of a model, planned anew where the model or a goal has changed."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from memrl.agents.planning.model import Model
from memrl.agents.planning.value_iteration import (
    Arrival,
    action_values,
    lookahead,
    state_values,
    value_iteration,
    worth,
)
from memrl.memory.stores.transitions import END
from memrl.replay.hindsight import GoalReward


class Goals(NamedTuple):
    """What a task with goals adds to a model."""

    reward: GoalReward  # from achieved and desired goals to reward and termination
    achieved: Tensor  # [N, ...]  the goal that is achieved at each node


class NodeValues(NamedTuple):
    """Values at the nodes where B environments are."""

    q: Tensor  # [B, A]
    known: Tensor  # bool [B, A]


class Planned(NamedTuple):
    """Plans for G goals; without goals for the only task there is."""

    desired: Tensor | None  # [G, ...]
    value: Tensor  # [N, G]
    worth: Tensor  # [N, G]  r(s') + γ V(s')
    sweeps: Tensor  # [G]


@final
class Values:
    """Plans for B environments, which share the model and may each have a goal of their own.

    What it holds follows from the model and the goals alone, so that nothing of it is saved.

    Args:
        model: to plan in.
        goals: of its nodes; None in tasks without goals.
        gamma: γ, discount per env step.
        sweeps: env steps that are looked ahead.
        unknown: see ``lookahead``.
    """

    def __init__(
        self,
        model: Model,
        goals: Goals | None,
        *,
        gamma: float,
        sweeps: int,
        unknown: float | None,
    ) -> None:
        self.gamma, self.sweeps, self.unknown = gamma, sweeps, unknown
        self._begin(model, goals)

    def _begin(self, model: Model, goals: Goals | None) -> None:
        self._model, self._goals = model, goals
        self._ahead = lookahead(model, self.unknown)
        self._planned: Planned | None = None

    def learn(self, model: Model, goals: Goals | None) -> None:
        """Plan in another model from now on."""
        if not (self._model.same(model) and _same(self._goals, goals)):
            self._begin(model, goals)

    def at(self, node: Tensor, desired: Tensor | None) -> NodeValues:
        """Values at nodes [B] for the environments' goals [B, ...]; without goals None."""
        worth = self._follow(desired).worth
        columns = worth.shape[1]
        own = torch.arange(len(node), device=node.device) % columns  # the column of each row
        rows = self._ahead.at(node)
        rows = rows._replace(next=rows.next * columns + own.view(-1, 1, 1))
        q = action_values(rows, worth.view(-1, 1))
        return NodeValues(q.squeeze(2), self._model.known[node])

    def metrics(self, desired: Tensor | None) -> dict[str, Tensor]:
        """The Bellman residual and the number of sweeps of the present plans."""
        plan = self._follow(desired)
        again = state_values(action_values(self._ahead, plan.worth))
        return {
            "plan/residual": (again - plan.value).abs().amax(),
            "plan/sweeps": plan.sweeps.float().mean(),
        }

    def _follow(self, desired: Tensor | None) -> Planned:
        """Plan for the goals that have changed, or for all if the model has."""
        old = self._planned
        if old is None or (desired is not None and len(desired) != len(old.worth[0])):
            old = self._planned = self._plan(desired)
        elif desired is not None and old.desired is not None:
            changed = (desired != old.desired).view(len(desired), -1).any(dim=1)
            if changed.any():
                new = self._plan(desired[changed])
                old.desired[changed] = desired[changed]
                old.value[:, changed], old.worth[:, changed] = new.value, new.worth
                old.sweeps[changed] = new.sweeps
        return old

    def _plan(self, desired: Tensor | None) -> Planned:
        arrival, own = self._arrival(desired), None if desired is None else desired.clone()
        plan = value_iteration(self._ahead, arrival, gamma=self.gamma, sweeps=self.sweeps)
        return Planned(own, plan.value, worth(plan.value, arrival, self.gamma), plan.sweeps)

    def _arrival(self, desired: Tensor | None) -> Arrival:
        nodes = len(self._model.next)
        if desired is None or self._goals is None:
            reward = self._model.share.new_zeros(nodes, 1)
            goes_on = torch.ones_like(reward, dtype=torch.bool)
            goes_on[END] = False
            return Arrival(reward, goes_on)
        achieved, shape = self._goals.achieved, desired.shape[1:]
        every = (nodes, len(desired), *shape)
        reward, ends = self._goals.reward(
            achieved.unsqueeze(1).expand(every), desired.unsqueeze(0).expand(every)
        )
        return Arrival(reward, ~ends)


def _same(one: Goals | None, other: Goals | None) -> bool:
    """Whether the nodes achieve the same goals: one that made room may be another one now."""
    return one is None or other is None or torch.equal(one.achieved, other.achieved)
