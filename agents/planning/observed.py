"""The graph of what an agent has seen, and what the graph needs of observations and steps."""

from __future__ import annotations

from typing import Final, NamedTuple, final

import torch
from torch import Tensor

from memrl.agents.epsilon_greedy import number_of_actions
from memrl.agents.planning.config import PlanConfig
from memrl.agents.planning.model import ALLOWED, Model, estimate
from memrl.agents.planning.node_keys import NodeKeys
from memrl.agents.planning.values import Goals
from memrl.memory.stores.transitions import Steps, TransitionGraph
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.spaces import MASK

ACHIEVED: Final = "achieved_goal"  # entry of an observation, and fact of a node
DESIRED: Final = "desired_goal"  # entry of an observation


class Place(NamedTuple):
    """Where B environments are."""

    node: Tensor  # int64 [B]
    key: Tensor  # int64 [B]
    facts: dict[str, Tensor]  # each [B, ...]
    desired: Tensor | None  # [B, ...]  in a task with goals
    recent: Tensor  # int64 [B, k - 1]  for the observation after the next step


@final
class Observed:
    """Observations as nodes, steps as edges.

    In environments with goals the desired goal is no part of a node, and edges have no rewards and
    ends: both follow from the goal that is achieved at the next node. So every step serves all
    goals.

    Args:
        env: whose steps are added.
        obs: observations of it [B, ...].
        config: of the graph and its keys.
    """

    def __init__(self, env: BatchedEnv, obs: Obs, config: PlanConfig) -> None:
        self.goal_reward = env.goal_reward if env.has_goals else None
        self.keys = NodeKeys(
            env.observation_space,
            history=config.history,
            resolution=config.resolution,
            left_out=(DESIRED,) if env.has_goals else (),
        )
        entries = {ALLOWED: MASK} if MASK in obs else {}
        self._entries = entries | ({ACHIEVED: ACHIEVED} if env.has_goals else {})
        unknown = {name: torch.zeros_like(obs[entry][0]) for name, entry in self._entries.items()}
        if ALLOWED in unknown:
            unknown[ALLOWED] = torch.ones_like(unknown[ALLOWED])
        self.graph = TransitionGraph(
            number_of_actions(env, "plan"),
            capacity=config.capacity,
            successors=config.successors,
            facts=unknown,
            device=env.device,
        )

    def place(self, obs: Obs, recent: Tensor) -> Place:
        """The nodes of observations [B, ...]; of ``recent`` see ``NodeKeys``."""
        keyed = self.keys(obs, recent)
        facts = {name: obs[entry].clone() for name, entry in self._entries.items()}
        node = self.graph.find(keyed.key)
        return Place(node, keyed.key, facts, self.desired(obs), keyed.recent)

    def desired(self, obs: Obs) -> Tensor | None:
        """The goals of B environments [B, ...]; None in a task without goals."""
        return None if self.goal_reward is None else obs[DESIRED]

    def steps(self, place: Place, action: Tensor, step: Transition) -> Steps:
        """Steps of B environments, for the graph."""
        after = self.place(step.final_obs, place.recent)
        reward, ended = step.reward.clone(), step.terminated.clone()
        if self.goal_reward is not None:
            reward, ended = torch.zeros_like(reward), torch.zeros_like(ended)
        return Steps(place.key, action, reward, after.key, ended, place.facts, after.facts)

    def model(self, *, visits: int, beta: float) -> Model:
        """See ``estimate``."""
        return estimate(self.graph, visits=visits, beta=beta)

    def goals(self) -> Goals | None:
        """The goals that are achieved at the nodes, in a task with goals."""
        if self.goal_reward is None:
            return None
        return Goals(self.goal_reward, self.graph.rows.held(ACHIEVED).clone())

    def metrics(self) -> dict[str, Tensor]:
        """How much is known."""
        model, nodes = self.model(visits=1, beta=0.0), slice(self.graph.rows.reserved, None)
        tried, allowed = model.known[nodes] & model.allowed[nodes], model.allowed[nodes]
        return {
            "memory/nodes": torch.tensor(float(self.graph.nodes)),
            "memory/transitions": (self.graph.count > 0).sum(),
            "memory/known": tried.sum() / allowed.sum(),
        }
