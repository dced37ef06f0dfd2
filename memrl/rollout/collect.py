"""Collect rollouts: a policy acts in B environments for T steps on one device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memrl.bonus.bonus import Bonus
from memrl.memory import state as states
from memrl.policies.actor_critic import Policy
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.rollout.storage import Rollout
from memrl.rollout.times import Times


class Collector:
    """Collects rollouts, and keeps the state between them: observations, core state, sums, bonus.

    ``generator`` samples the actions and nothing else. With ``asks_host`` the host checks whether
    an episode was truncated. Without it the critic evaluates the final observation of every step;
    the result is the same. ``times`` measures the environments' steps.
    """

    def __init__(
        self,
        env: BatchedEnv,
        policy: Policy,
        generator: torch.Generator,
        *,
        seed: int,
        bonus: Bonus | None = None,
    ) -> None:
        self.env, self.policy, self.generator = env, policy, generator
        self.bonus = bonus
        self.times = Times()
        self.asks_host = True
        self.begin(env.reset(seed))

    def begin(self, obs: Obs) -> None:
        """Start from environments that were reset and returned ``obs``."""
        B, device = self.env.num_envs, self.env.device
        self.obs = obs
        self.start = torch.ones(B, dtype=torch.bool, device=device)
        self.state = states.clone(self.policy.initial_state(B))
        self.episode_return = torch.zeros(B, device=device)
        self.episode_length = torch.zeros(B, device=device)
        if self.bonus is not None:
            self.bonus.begin(obs)

    def rollout(self, *, steps: int, bptt: int, burn_in: int) -> Rollout:
        """Storage for ``steps`` × B transitions, which ``collect`` fills and may refill."""
        with torch.no_grad():
            first = self.policy.step(self.obs, self.state, self.start)
        return Rollout(
            self.env,
            self.state,
            steps=steps,
            bptt=bptt,
            burn_in=burn_in,
            action=first.actions.mode(),
            dtype=first.value.dtype,
        )

    def collect(self, rollout: Rollout) -> None:
        """Fill ``rollout`` with the next steps of every environment."""
        for t in range(len(rollout.reward)):
            self.step(rollout, t)
        self.finish(rollout)

    def step(self, rollout: Rollout, t: int) -> None:
        """Act once in every environment and store the transition as step ``t``."""
        action = self.act(rollout, t)
        with self.times.of("env"):
            transition = self.env.step(action)
        self.take(rollout, t, transition)

    @torch.no_grad()
    def act(self, rollout: Rollout, t: int) -> Tensor:
        """Choose actions [B, ...] and store them; ``take`` stores what the environments answer."""
        rollout.put_observation(t, self.obs, self.start, self.state)
        out = self.policy.step(self.obs, self.state, self.start, donate=True)
        action = out.actions.sample(self.generator)
        rollout.action[t] = action
        rollout.log_prob[t] = out.actions.log_prob(action)
        rollout.value[t] = out.value
        self.state = out.state
        return action

    @torch.no_grad()
    def take(self, rollout: Rollout, t: int, transition: Transition) -> None:
        """Store the environments' answer to the actions of step ``t``."""
        rollout.put_transition(t, transition)
        rollout.bootstrap[t] = self._bootstrap(transition)
        self._count(rollout, t, transition)
        if self.bonus is not None:
            rollout.bonus[t] = self.bonus.reward(transition.obs, self.start)
        self.obs = transition.obs

    @torch.no_grad()
    def finish(self, rollout: Rollout) -> None:
        """Store the value of the observation after the last step."""
        rollout.last_value.copy_(self.policy.step(self.obs, self.state, self.start).value)

    def _bootstrap(self, transition: Transition) -> Tensor:
        """V(final observation) where an episode was truncated, 0 elsewhere.

        It uses the core state after the last step and before the reset. Usually no episode was
        truncated, and the critic need not run again; this check is a step's only host transfer.
        """
        cut = transition.truncated & ~transition.terminated
        if self.asks_host and not bool(cut.any()):
            return torch.zeros_like(transition.reward)
        goes_on = torch.zeros_like(cut)
        value = self.policy.step(transition.final_obs, self.state, goes_on).value
        return torch.where(cut, value, 0.0)

    def _count(self, rollout: Rollout, t: int, transition: Transition) -> None:
        valid = rollout.valid[t]
        self.episode_return += torch.where(valid, transition.reward, 0.0)
        self.episode_length += valid
        rollout.episode_return[t] = self.episode_return
        rollout.episode_length[t] = self.episode_length
        self.start = transition.ended | ~valid
        self.episode_return.masked_fill_(self.start, 0.0)
        self.episode_length.masked_fill_(self.start, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Environments, core state, episode sums, bonus and generator."""
        return {
            "env": self.env.state_dict(),
            "start": self.start,
            "core": states.flatten(self.state),
            "episode_return": self.episode_return,
            "episode_length": self.episode_length,
            "generator": self.generator.get_state(),
            "bonus": None if self.bonus is None else self.bonus.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from ``state_dict``.

        If the environments restart (``exact_resume`` is False), core state and sums restart, too.

        Raises:
            ValueError: the state of the bonus belongs to another one; nothing else is changed.
        """
        if self.bonus is not None:
            self.bonus.load_state_dict(saved["bonus"])
        self.obs = self.env.load_state_dict(saved["env"])
        self.generator.set_state(saved["generator"].cpu())
        if not self.env.exact_resume:
            self.begin(self.obs)
            return
        self.start = saved["start"].to(self.start)
        # Copies: the collector edits them in place and must not modify the loaded state.
        self.state = states.loaded(self.state, saved["core"])
        self.episode_return = saved["episode_return"].to(self.episode_return, copy=True)
        self.episode_length = saved["episode_length"].to(self.episode_length, copy=True)
