"""Neural Episodic Control: Q is read from dictionaries of returns, one for each action."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from annotated_types import Gt, Le
from torch import Tensor

from memrl.agents.config import Count, NonNegative, Positive, Share, whole_iterations
from memrl.agents.episodic.agent import EpisodicConfig
from memrl.agents.episodic.return_buffer import Entries, StepsWithReturns
from memrl.agents.epsilon_greedy import ActionValues
from memrl.agents.gradient_step import gradient_step
from memrl.agents.state_checks import check_keys, check_weights
from memrl.checkpoint.optimizer import load_moments, moments
from memrl.memory.ops.kernel import kernel_weights
from memrl.memory.stores.dnd import Dictionaries, Near, towards
from memrl.policies.backbone import Backbone
from memrl.replay.ring import Ring
from memrl.replay.spill import allocator, nbytes
from memrl.replay.steps import named, observed
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK


class NECConfig(EpisodicConfig):
    """Neural episodic control (Pritzel et al. 2017)."""

    kind: Literal["nec"] = "nec"
    horizon: Count = 100  # N: rewards in a return
    warmup: Count = 500  # env steps of random actions before anything is written or learned
    delta: Positive = 1.0e-3  # δ of the kernel 1 / (d² + δ)
    alpha: Annotated[float, Gt(0.0), Le(1.0)] = 0.5  # step of a stored value to a new return
    replay: Count = 100_000  # steps in the replay buffer
    batch: Count = 32
    lr: Positive = 1.0e-5  # learning rate of RMSProp for the embedding
    lr_entries: NonNegative = 1.0e-5  # learning rate for keys and values
    decay: Share = 0.95  # of RMSProp's mean squares

    def idle(self, total_steps: int, num_envs: int) -> str | None:
        if self.warmup <= whole_iterations(total_steps, self.steps * num_envs):
            return None
        return f"agent.warmup={self.warmup}"


@final
class Embedding(Backbone):
    """Observations to keys."""

    def forward(self, obs: Obs) -> Tensor:
        """Observations [n, ...] to h [n, W]; each on its own."""
        first = next(iter(obs.values()))
        n = len(first)
        start = torch.ones(n, dtype=torch.bool, device=first.device)
        return self.sense(obs, self.initial_state(n), start)[0]


@final
class NEC:
    """NEC's memory: for each action a dictionary from embeddings h to N-step returns.

    Q(s, a) = Σ_i w_i v_i over the p nearest keys of a's dictionary, w_i ∝ 1 / (‖h − h_i‖² + δ). The
    gradient of (Q − return)² reaches the embedding, the keys and the values. During the first
    ``warmup`` env steps actions are random and returns go to the replay buffer only. Then the
    running statistics of observations are computed once and fixed, since every key depends on
    them, and the replay buffer's steps are written to the dictionaries.

    Raises:
        ValueError: the replay buffer is too small for the warm-up, or for the steps whose returns
            become known at once.
    """

    def __init__(
        self, embedding: Embedding, config: NECConfig, *, actions: int, seed: int, copies: int
    ) -> None:
        least = max(config.warmup, copies * config.horizon + max(config.every, copies))
        if config.replay < least:
            raise ValueError(
                f"agent.replay={config.replay} is too small, allowed: at least {least}, for the "
                f"warm-up and for the steps of {copies} environments without a return yet"
            )
        self.policy, self.config, self.horizon = embedding, config, config.horizon
        self.device = next(embedding.parameters()).device
        self.dictionaries = Dictionaries(
            actions,
            embedding.features_dim,
            capacity=config.capacity,
            rule=towards(config.alpha),
            tolerance=config.tolerance,
            find=config.index,
            device=self.device,
        )
        weights = embedding.parameters()
        self.optimizer = torch.optim.RMSprop(weights, lr=config.lr, alpha=config.decay)
        (draw_seed,) = np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1).tolist()
        self.draws = torch.Generator().manual_seed(draw_seed)
        self.replay: Ring | None = None
        self.warm = False

    def entries(self, obs: Obs) -> Entries:
        """See ``Method.entries``: observations; their keys are computed when they are written."""
        return named({name: value for name, value in obs.items() if name != MASK})

    def random_steps(self) -> int:
        """See ``Method.random_steps``."""
        return self.config.warmup

    @torch.no_grad()
    def action_values(self, obs: Obs, *, mark: bool = True) -> ActionValues:
        """See ``Method.action_values``; an action with an empty dictionary has no estimate."""
        estimated = self.dictionaries.entries.count > 0
        if self.dictionaries.empty:
            rows = len(next(iter(obs.values())))
            return ActionValues(torch.zeros(rows, len(estimated), device=self.device), estimated)
        h = self.policy(obs).expand(len(estimated), -1, -1)
        near = self.dictionaries.near(h, self.config.neighbours, mark=mark)
        return ActionValues(self._read(h, near).t(), estimated)

    def _read(self, h: Tensor, near: Near) -> Tensor:
        """Σ_i w_i v_i over the entries found: [R, Q]."""
        weights = kernel_weights(h, near.keys, near.found, self.config.delta)
        return (weights * near.values).sum(dim=-1)

    def store(self, steps: StepsWithReturns, env_steps: int) -> dict[str, Tensor]:
        """See ``Method.store``."""
        items = {**steps.entries, "returns": steps.returns}
        if self.replay is None:
            size = nbytes(self.config.replay, items)
            allocate = allocator(size, None, None, self.device)
            self.replay = Ring(self.config.replay, items, allocate)
        self.replay.add(items)
        if not self.warm:
            if env_steps < self.config.warmup:
                return {}
            items = self._warm_up(self.replay)
        with torch.no_grad():
            keys = self.policy(observed(items))
        written = self.dictionaries.write(items["action"], keys, items["returns"])
        again = torch.tensor(written.again / len(keys))
        return {"memory/again": again, "memory/lost": torch.tensor(float(written.lost))}

    def _warm_up(self, replay: Ring) -> dict[str, Tensor]:
        """Compute and fix the statistics of observations; returns all steps of the replay."""
        self.warm = True
        items = replay.take(torch.arange(len(replay), device=replay.device))
        valid = torch.ones(1, len(replay), dtype=torch.bool, device=replay.device)
        obs = observed(items)
        self.policy.encoder.update({name: x.unsqueeze(0) for name, x in obs.items()}, valid)
        return items

    def improve(self, env_steps: int) -> dict[str, Tensor]:
        """See ``Method.improve``: one minibatch of the replay buffer.

        Raises:
            FloatingPointError: the loss or its gradient is not finite; no parameter was changed.
        """
        if not self.warm or self.replay is None:
            return {}
        config = self.config
        items = self.replay.take(self.replay.sample(config.batch, self.draws))
        action, target = items["action"], items["returns"]
        h = self.policy(observed(items))
        near = self.dictionaries.near_of(h, action, config.neighbours)
        near = near._replace(keys=near.keys.requires_grad_(), values=near.values.requires_grad_())
        q = self._read(h.unsqueeze(1), near).squeeze(1)
        loss = (q - target).square().mean()
        groups = {"keys": list(self.policy.parameters())}
        norms = gradient_step(self.optimizer, groups, loss, {"Q": loss}, max_norm=math.inf)
        assert near.keys.grad is not None
        assert near.values.grad is not None
        self.dictionaries.descend(
            near, near.keys.grad, near.values.grad, lr=config.lr_entries, decay=config.decay
        )
        return {
            "train/loss": loss.detach(),
            "train/q": q.detach().mean(),
            "grad_norm/all": norms["all"],
        }

    def memory_metrics(self) -> dict[str, Tensor]:
        """See ``Method.memory_metrics``."""
        return {"memory/entries": self.dictionaries.entries.count.sum()}

    def state_dict(self) -> dict[str, Any]:
        """See ``Method.state_dict``."""
        return {
            "policy": dict(self.policy.state_dict()),
            "optimizer": moments(self.optimizer),
            "store": self.dictionaries.state_dict(),
            "replay": None if self.replay is None else self.replay.state_dict(),
            "draws": self.draws.get_state(),
            "warm": self.warm,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Method.load_state_dict``."""
        check_keys(state, self.state_dict(), "nec")
        check_weights(state["policy"], self.policy, "embedding")
        replay = None
        if state["replay"] is not None:
            arrays = {name: x.to(self.device) for name, x in state["replay"]["arrays"].items()}
            replay = Ring(self.config.replay, arrays)
            replay.load_state_dict({**state["replay"], "arrays": arrays})
        self.dictionaries.load_state_dict(state["store"])
        self.policy.load_state_dict(state["policy"])
        load_moments(self.optimizer, state["optimizer"])
        self.replay, self.warm = replay, state["warm"]
        self.draws.set_state(state["draws"].cpu())
