"""Rehearsal: sequences of earlier tasks are learned from beside those of a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor

from memrl.agents.r2d2.collector import ReplayCollector
from memrl.agents.r2d2.config import HindsightConfig, R2D2Config, ReplayConfig
from memrl.agents.r2d2.replay_buffer import Batch, ReplayBuffer
from memrl.losses.ppo import masked_mean
from memrl.losses.q import rescale, unscale
from memrl.memory.state import map_state
from memrl.policies.q_network import QNetwork
from memrl.replay.ring import Items
from memrl.replay.steps import observed
from memrl.rollout.env import BatchedEnv

_TAUGHT: Final = "taught"  # the entry with the action values of the network that acted


@final
class Rehearsal:
    """Recordings of earlier tasks, and minibatches that have a share of them.

    Their sequences are drawn uniformly and have the importance weight 1, as in CLEAR (Rolnick et
    al. 2019), which mixes new experience and old in fixed shares.

    Args:
        recordings: one for each earlier task, as ``record`` makes them, of equal lengths.
        config: of the agent that learns from them.
        generator: draws the sequences.
    """

    def __init__(
        self, recordings: Sequence[Items], config: R2D2Config, generator: torch.Generator
    ) -> None:
        self.config, self.generator = config, generator
        self.steps = {
            name: torch.cat([recording[name] for recording in recordings], dim=1)
            for name in recordings[0]
        }  # each [T, B, ...], B environments of all tasks together
        stride, T = config.stride or config.unroll, len(self.steps["start"])
        self.begins = range(0, T - config.length + 1, stride)
        self.states: Any = None  # of the core where a sequence begins, leaves [K, B, ...]

    @torch.no_grad()
    def refresh(self, network: QNetwork) -> None:
        """Before an iteration: the memory states as the present network has them.

        A recording begins with starts, so that the state before it counts for nothing.
        """
        obs, start = observed(self.steps), self.steps["start"]
        state, kept = network.initial_state(start.shape[1]), []
        for begin in self.begins:
            kept.append(state)
            span = slice(begin, begin + self.begins.step)
            state = network({key: x[span] for key, x in obs.items()}, state, start[span]).state
        self.states = map_state(lambda *leaves: torch.stack(leaves), *kept)

    def beside(self, batch: Batch) -> Batch:
        """A minibatch of the replay buffer, followed by sequences of earlier tasks."""
        begins, B, device = self.begins, self.steps["start"].shape[1], self.generator.device
        size = (self.config.rehearsed,)
        index = torch.randint(len(begins) * B, size, generator=self.generator, device=device)
        position, env = index // B, index % B
        offset = torch.arange(self.config.length, device=device).unsqueeze(1)
        time = position * begins.step + offset  # [L, R]
        old = {name: x[time, env] for name, x in self.steps.items()}
        taught = old.pop(_TAUGHT)
        steps = {name: torch.cat([batch.steps[name], x], dim=1) for name, x in old.items()}
        state = map_state(lambda x: x[position, env], self.states)
        return batch._replace(
            obs=observed(steps),
            steps=steps,
            state=map_state(lambda own, other: torch.cat([own, other]), batch.state, state),
            weight=torch.cat([batch.weight, batch.weight.new_ones(size)]),
            replaced=torch.cat([batch.replaced, torch.zeros_like(old["start"])], dim=1),
            taught=taught,
        )

    def state_dict(self) -> dict[str, Any]:
        """The generator; the recordings are not in it."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``, with the same recordings."""
        self.generator.set_state(state["generator"].cpu())


def record(
    env: BatchedEnv, network: QNetwork, config: R2D2Config, *, rescaled: float, seed: int
) -> dict[str, Tensor]:
    """What a network does in its own task, and the action values it has there: each [T, B, ...].

    It explores as the agent does that will rehearse it, whose options are ``config``: env i with
    its own ε. ``rescaled`` is the ``rescale`` that the network was trained with; the values are
    converted to the scale of ``config``.
    """
    T, B, stride = config.rehearsal.steps, env.num_envs, config.stride or config.unroll
    capacity = -(-T // stride) * stride * B
    only = {"hindsight": HindsightConfig(), "replay": ReplayConfig(capacity=capacity)}
    plain, generator = (
        config.model_copy(update=only),
        torch.Generator(env.device).manual_seed(seed),
    )
    collector = ReplayCollector(env, network, plain, generator, seed=seed)
    replay = ReplayBuffer(env, plain, collector.example(), collector.state, generator)
    for _ in range(T):
        collector.step(replay)
    steps = {name: x[:T] for name, x in replay.sequences.steps.arrays.items()}
    with torch.no_grad():
        q = network(observed(steps), network.initial_state(B), steps["start"]).q
    return steps | {_TAUGHT: rescale(unscale(q, rescaled), config.rescale)}


def cloning_loss(q: Tensor, taught: Tensor, valid: Tensor) -> Tensor:
    """Half the squared distance of action values [T, R, A] from others, over allowed actions."""
    allowed = q != torch.finfo(q.dtype).min
    error = torch.where(allowed, q - taught, 0.0)
    return masked_mean(0.5 * error.square().sum(-1) / allowed.sum(-1).clamp(min=1), valid)
