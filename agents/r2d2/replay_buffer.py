"""R2D2's replay buffer: sequences, and hindsight goals if configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from memrl.agents.r2d2.config import R2D2Config
from memrl.nn.observation import PREV_REWARD
from memrl.replay.episode_index import EpisodeIndex
from memrl.replay.hindsight import ACHIEVED, relabel
from memrl.replay.ring import Items
from memrl.replay.sequences import SampledSequences, SequenceReplay, Shape
from memrl.replay.steps import observed
from memrl.rollout.env import BatchedEnv, Obs, Transition


class Batch(NamedTuple):
    """M sequences of L steps to learn from."""

    obs: Obs  # each [L, M, ...]
    steps: dict[str, Tensor]  # start, action, reward, terminated, valid: [L, M]
    state: Any  # of the core before the first step, leaves [M, ...]
    weight: Tensor  # [M]
    replaced: Tensor  # bool [L, M]  steps of a goal replaced in hindsight
    drawn: SampledSequences  # the first of them: those of the replay buffer
    taught: Tensor | None = None  # [L, R, A]  action values that the last R are taught


@final
class ReplayBuffer:
    """Sequences of an agent's steps; ``generator`` is used for all sampling.

    Raises:
        ValueError: the capacity is too small for a sequence, or too large for this machine.
    """

    def __init__(
        self,
        env: BatchedEnv,
        config: R2D2Config,
        example: Items,
        state: Any,
        generator: torch.Generator,
    ) -> None:
        self.env, self.config, self.generator = env, config, generator
        self.sequences = SequenceReplay(
            config.replay.capacity,
            Shape(config.length, config.stride or config.unroll),
            example,
            state,
            alpha=config.replay.alpha,
            memory_limit=config.replay.memory_limit,
            folder=config.replay.folder,
        )
        self.episodes: EpisodeIndex | None = None
        if config.hindsight.kind != "none":
            self.episodes = EpisodeIndex(self.sequences.span, env.num_envs, env.device)

    def add(self, step: Items, ended: Tensor) -> None:
        """Add one step of every environment; ``ended`` [B] is True where its episode ended."""
        self.sequences.add(step)
        if self.episodes is not None:
            self.episodes.add(step["start"], ended)

    def draw(self, beta: float) -> Batch:
        """Sample a minibatch without what is rehearsed; the buffer must contain a sequence."""
        count = self.config.batch - self.config.rehearsed
        drawn = self.sequences.sample(count, self.generator, beta=beta)
        steps, replaced = drawn.steps, torch.zeros_like(drawn.steps["start"])
        hindsight = self.config.hindsight
        if self.episodes is not None and hindsight.kind != "none":
            steps, replaced = relabel(
                drawn,
                self.episodes.spans(drawn.time, drawn.env),
                self.sequences.steps.arrays[ACHIEVED],
                self.env.goal_reward,
                self.generator,
                strategy=hindsight.kind,
                share=hindsight.share,
                burn_in=self.config.burn_in,
            )
        return Batch(observed(steps), steps, drawn.state, drawn.weight, replaced, drawn)

    def state_dict(self) -> dict[str, Any]:
        """The stored steps and the generator."""
        return {
            "replay": self.sequences.state_dict(),
            "episodes": None if self.episodes is None else self.episodes.state_dict(),
            "generator": self.generator.get_state(),
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError if ``load_state_dict`` would fail; changes nothing."""
        self.sequences.check(state["replay"])
        if (state["episodes"] is None) != (self.episodes is None):
            saved, here = (
                "none" if x is None else "some" for x in (state["episodes"], self.episodes)
            )
            raise ValueError(
                f"the saved replay has {saved} of the goals that agent.hindsight stores, "
                f"allowed: {here}, as configured here"
            )
        if self.episodes is not None:
            self.episodes.check(state["episodes"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``; raises like ``check``."""
        self.check(state)
        self.sequences.load_state_dict(state["replay"])
        if self.episodes is not None:
            self.episodes.load_state_dict(state["episodes"])
        self.generator.set_state(state["generator"].cpu())


def check_goals(env: BatchedEnv) -> None:
    """Raise ValueError if the environment has no goals, or shows rewards in its observations."""
    if not env.has_goals:
        raise ValueError(
            "agent.hindsight needs an environment that observes observation, achieved_goal and "
            "desired_goal and can compute the reward of any goal (compute_reward), such as "
            f"probe/Goal-v0; this one observes {', '.join(env.observation_space)}"
        )
    if PREV_REWARD in env.observation_space.spaces:
        raise ValueError(
            "agent.hindsight changes rewards, which env.prev_reward=true shows: use one of the two"
        )


def check_goal_reward(env: BatchedEnv, step: Transition) -> None:
    """Raise ValueError if the reward of a step is not that of its goals.

    A wrapper that scales rewards, or adds a cost of actions, leaves ``compute_reward`` as it was:
    relabelled and other steps would then be rewarded in two ways.
    """
    goals = step.final_obs["achieved_goal"], step.final_obs["desired_goal"]
    computed = env.goal_reward(*goals)[0].to(step.reward)
    differs = ~torch.isclose(computed, step.reward, rtol=1e-4, atol=1e-4)
    if step.valid is not None:
        differs &= step.valid
    if differs.any():
        index = int(differs.long().argmax())
        raise ValueError(
            f"env {index} was rewarded {float(step.reward[index]):g}, but its compute_reward says "
            f"{float(computed[index]):g} for the same goals: agent.hindsight needs both to be equal"
        )
