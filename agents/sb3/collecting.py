"""Rollouts in SB3's loop: memrl's collector, with SB3's variables for callbacks."""

from __future__ import annotations

from abc import ABC
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from memrl.agents.sb3.buffer import RolloutBuffer
from memrl.agents.sb3.masking import obeys_masks
from memrl.agents.sb3.persistent import Persistent
from memrl.agents.sb3.vec_env import VecEnvAdapter
from memrl.rollout.collect import Collector
from memrl.rollout.spaces import decode_action


class Collecting(Persistent, ABC):
    """Collects rollouts; the subclass learns from them."""

    rollout_buffer: RolloutBuffer  # type: ignore[assignment]
    bptt: int
    burn_in: int
    _source: VecEnvAdapter | None = None
    _use_masking: bool | None = None  # of the last `learn`
    _cut: tuple[int, int, int] | None = None  # n_steps, bptt and burn_in of the present storage

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """Collect one rollout; returns False if a callback asked to stop.

        Callbacks find SB3's variables. ``rewards``, ``dones``, ``infos``, ``new_obs``, ``actions``,
        ``values`` and ``log_probs`` may be changed in place after a step, as in SB3.
        """
        self.policy.set_training_mode(False)
        collector, source = self._collector_for(env)
        self._storage_for(collector, source, n_rollout_steps)
        rollout_buffer = self.rollout_buffer
        storage = rollout_buffer.storage
        callback.on_rollout_start()
        for n_steps in range(n_rollout_steps):
            obs_tensor = obs_as_tensor(self._last_obs, self.device)  # type: ignore[arg-type]
            episode_starts = collector.start
            chosen = collector.act(storage, n_steps)
            values, log_probs = rollout_buffer.value_column(n_steps), storage.log_prob[n_steps]
            actions = chosen.cpu().numpy().reshape(env.num_envs, *(self.action_space.shape or ()))
            clipped_actions = decode_action(self.action_space, chosen)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            try:
                go_on = callback.on_step()
            finally:  # the environments have stepped, even if the callback fails
                rollout_buffer.set_choice(n_steps, actions, values)
                answer = source.transition(new_obs, rewards, dones, infos)
                collector.take(storage, n_steps, answer)
                self._last_obs = new_obs  # type: ignore[assignment]
                self._last_episode_starts = dones
                self._carried_starts = dones
            if not go_on:
                return False
            self._update_info_buffer(infos, dones)
        collector.finish(storage)
        rollout_buffer.full = True
        rollout_buffer.gamma, rollout_buffer.gae_lambda = float(self.gamma), float(self.gae_lambda)
        rollout_buffer.compute_returns_and_advantage()
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _collector_for(self, env: VecEnv) -> tuple[Collector, VecEnvAdapter]:
        """The collector for these environments; it begins anew where SB3 has reset them."""
        goes_on = self._last_episode_starts is self._carried_starts
        obeys = obeys_masks(env, self._use_masking)
        collector, source = self._collector, self._source
        if collector is None or source is None or source.env is not env:
            self._source = source = VecEnvAdapter(env, self.device)
            source.obeys_masks = obeys
            source.set_obs(self._last_obs)
            collector = Collector(source, self.policy.net, self.generator, seed=0)
            if self._saved_collector is not None and goes_on:
                collector.load_state_dict(self._saved_collector)
            self._collector, self._cut = collector, None
        elif source.obeys_masks != obeys or not goes_on:
            source.obeys_masks = obeys
            obs = source.set_obs(self._last_obs)
            if goes_on:
                collector.obs = obs
            else:
                collector.begin(obs)
        self._saved_collector = None
        return collector, source

    def _storage_for(self, collector: Collector, source: VecEnvAdapter, n_steps: int) -> None:
        """Make a rollout buffer, unless the last one has the present sizes."""
        cut = (int(n_steps), self.bptt, int(self.burn_in))
        if cut != self._cut:
            steps, bptt, burn_in = cut
            self.rollout_buffer = RolloutBuffer(
                collector.rollout(steps=steps, bptt=bptt, burn_in=burn_in),
                source.converter,
                self.action_space,
                self.policy.return_norm,
            )
            self._cut = cut
        self.rollout_buffer.pos, self.rollout_buffer.full = 0, False
