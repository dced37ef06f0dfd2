"""PPO with any memory for Stable-Baselines3: SB3's training loop, memrl's learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast, final

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from memrl.agents.ppo.advantages import compute_advantages
from memrl.agents.ppo.learner import Learner, Rates
from memrl.agents.sb3.options import chunk_length, learner_config
from memrl.agents.sb3.persistent import Persistent
from memrl.agents.sb3.plugins import with_class_names
from memrl.agents.sb3.policy import MemoryPolicy
from memrl.agents.sb3.schedules import Schedule, value_at
from memrl.agents.sb3.vec_env import MASK_METHOD, VecEnvAdapter, check_arrays, mask_size
from memrl.agents.training_metrics import memory_metrics
from memrl.nn.normalise import RunningNorm
from memrl.rollout.collect import Collector
from memrl.rollout.spaces import Array
from memrl.rollout.storage import Rollout

SB3_NAMES = {  # memrl's metric -> SB3's
    "train/policy": "train/policy_gradient_loss",
    "train/value": "train/value_loss",
    "train/kl": "train/approx_kl",
    "train/clipped": "train/clip_fraction",
    "train/ratio_error": "train/ratio_error",
    "train/core_cost": "train/core_cost",
    "grad_norm/all": "train/grad_norm",
}


@final
class MemoryPPO(Persistent):
    """Recurrent PPO with any memory, for Stable-Baselines3's environments and tools.

    Rollouts are split into chunks of consecutive steps, and the memory's state at the start of each
    chunk is stored. A minibatch consists of whole chunks with ``batch_size`` env steps in total.

    Args:
        policy: ``MlpPolicy``, ``CnnPolicy`` or ``MultiInputPolicy``; all three choose the encoder
            by the observation space.
        env: a Gymnasium environment, its id, or a ``VecEnv``.
        learning_rate: of Adam; a number, or a function of the remaining progress (1 to 0).
        n_steps: env steps per environment and rollout.
        batch_size: env steps per minibatch; divides ``n_steps`` × number of environments, and is a
            multiple of the chunk length.
        n_epochs: passes over a rollout.
        gamma: discount per env step.
        gae_lambda: λ of generalised advantage estimation.
        clip_range: ε of the clipped ratio; a number, or a function like ``learning_rate``.
        clip_range_vf: ε of the clipped value; None: not clipped.
        normalize_advantage: normalise advantages over the steps of a minibatch.
        ent_coef: weight of the entropy.
        vf_coef: weight of the value loss.
        max_grad_norm: gradients are clipped to this norm.
        bptt: env steps a gradient may travel back, the chunk length; None: the longest up to 64
            that divides ``n_steps`` and ``batch_size``.
        burn_in: env steps before a chunk that only compute its state; none at a rollout's start.
        refresh_states: recompute the states at chunk starts before each further epoch.
        normalize_returns: the critic predicts standardised returns (running statistics), so that
            its loss does not dominate the policy's in the memory that both share.
        target_kl: nats; the update ends after an epoch whose KL divergence exceeds it.
        stats_window_size: number of episodes in the logged means.
        tensorboard_log: folder for TensorBoard's files.
        policy_kwargs: ``memory`` (a name, ``module:Name`` or a class), ``memory_kwargs`` and
            fields of `memrl.policies.backbone.PolicyConfig`.
        use_sde: must be False; gSDE is not supported.
        verbose: 0, 1 or 2, as in SB3.
        seed: makes a run repeatable.
        device: of the network and the rollouts.

    Raises:
        ValueError: an unsupported space, an unknown memory or option, or sizes that do not fit each
            other.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MemoryPolicy,
        "CnnPolicy": MemoryPolicy,
        "MultiInputPolicy": MemoryPolicy,
    }

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: gymnasium.Env[Any, Any] | VecEnv | str | None,
        learning_rate: Schedule = 3e-4,
        n_steps: int = 128,
        batch_size: int = 128,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: Schedule = 0.2,
        clip_range_vf: Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        *,
        bptt: int | None = None,
        burn_in: int = 0,
        refresh_states: bool = False,
        normalize_returns: bool = True,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        use_sde: bool = False,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if use_sde:
            raise ValueError(
                "use_sde=True, allowed: False, since gSDE's noise lasts over several steps and the "
                "memory does not observe it"
            )
        if isinstance(policy, str) and policy not in self.policy_aliases:
            allowed = ", ".join(self.policy_aliases)
            raise ValueError(f"the policy {policy!r} is unknown, allowed: {allowed}")
        if not isinstance(policy, str) and not issubclass(policy, MemoryPolicy):
            raise ValueError(f"the policy {policy.__name__} has no memory, allowed: MemoryPolicy")
        self.batch_size, self.n_epochs = batch_size, n_epochs
        self.clip_range, self.clip_range_vf = clip_range, clip_range_vf
        self.normalize_advantage, self.target_kl = normalize_advantage, target_kl
        self.bptt = chunk_length(n_steps, batch_size) if bptt is None else bptt
        self.burn_in, self.refresh_states = burn_in, refresh_states
        self.normalize_returns = normalize_returns
        self.masks = 0  # entries of an action mask
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,  # type: ignore[arg-type]
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=with_class_names(policy_kwargs),
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    def _setup_model(self) -> None:
        if not hasattr(self, "observation_space"):
            raise ValueError("env is None, allowed: an environment, its id, or a VecEnv")
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.env is not None and self.env.has_attr(MASK_METHOD):
            self.masks = mask_size(self.action_space)
        self.policy = cast("type[MemoryPolicy]", self.policy_class)(
            self.observation_space, self.action_space, masks=self.masks, **self.policy_kwargs
        ).to(self.device)
        act_seed, batch_seed, predict_seed = np.random.SeedSequence(self.seed).generate_state(3)
        self.generator = torch.Generator(self.device).manual_seed(int(act_seed))
        self.policy.generator = torch.Generator(self.device).manual_seed(int(predict_seed))
        shuffler = torch.Generator().manual_seed(int(batch_seed))
        self.learner = Learner(self.policy.net, learner_config(self), shuffler)
        self.policy.optimizer = self.learner.optimizer  # where SB3 looks for it
        self.return_norm: RunningNorm | None = None
        if self.normalize_returns:
            self.return_norm = RunningNorm(1, clip=None).to(self.device)
        self.rollout_buffer = None  # type: ignore[assignment]  # a `Rollout`, made by the first `learn`
        self._collector = None
        self._source: VecEnvAdapter | None = None

    def learn(
        self,
        total_timesteps: int,
        callback: Callable[..., Any] | list[BaseCallback] | BaseCallback | None = None,
        log_interval: int = 1,
        tb_log_name: str = "MemoryPPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> MemoryPPO:
        """See SB3's ``BaseAlgorithm.learn``; ``tb_log_name`` defaults to this class's name."""
        return super().learn(
            total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar
        )

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """Collect one rollout; returns False if a callback asked to stop."""
        self.policy.set_training_mode(False)
        collector, source, rollout_buffer = self._collector_for(env)
        callback.on_rollout_start()
        for n_steps in range(n_rollout_steps):
            collector.step(rollout_buffer, n_steps)
            self.num_timesteps += env.num_envs
            last = source.last
            self._last_obs, self._last_episode_starts = last.obs, last.dones
            sb3_locals = {  # variables of SB3's loop that callbacks read
                "new_obs": last.obs,
                "rewards": last.rewards,
                "dones": last.dones,
                "infos": last.infos,
                "actions": rollout_buffer.action[n_steps],
                "values": rollout_buffer.value[n_steps],
                "log_probs": rollout_buffer.log_prob[n_steps],
            }
            callback.update_locals(locals() | sb3_locals)
            if not callback.on_step():
                return False
            self._update_info_buffer(last.infos, last.dones)
        collector.finish(rollout_buffer)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _collector_for(self, env: VecEnv) -> tuple[Collector, VecEnvAdapter, Rollout]:
        """The collector for these environments, restarted if SB3's loop has reset them."""
        collector, source = self._collector, self._source
        if collector is None or source is None or source.env is not env:
            self._source = source = VecEnvAdapter(env, self.device)
            source.set_obs(self._last_obs)
            collector = Collector(source, self.policy.net, self.generator, seed=0)
            self.rollout_buffer = collector.rollout(  # type: ignore[assignment]
                steps=self.n_steps, bptt=self.bptt, burn_in=self.burn_in
            )
            if self._saved_collector is not None:
                collector.load_state_dict(self._saved_collector)
                self._saved_collector = None
            self._collector = collector
        elif self._last_episode_starts is not source.last.dones:  # SB3 has reset the environments
            collector.begin(source.set_obs(self._last_obs))
        return collector, source, cast("Rollout", self.rollout_buffer)

    def train(self) -> None:
        """Update the policy on the rollout."""
        assert self._collector is not None
        self.policy.set_training_mode(True)
        rollout = cast("Rollout", self.rollout_buffer)
        norm = self.return_norm
        returns = compute_advantages(
            rollout, gamma=self.gamma, lam=self.gae_lambda, return_norm=norm
        )
        left = self._current_progress_remaining
        vf = self.clip_range_vf
        rates = Rates(
            lr=float(self.lr_schedule(left)),
            entropy=self.ent_coef,
            clip=value_at(self.clip_range, left),
            value_clip=None if vf is None else value_at(vf, left),
        )
        averages = self.learner.improve(rollout, rates)
        self.policy.net.encoder.update(rollout.obs, rollout.valid)
        if norm is not None:
            norm.update(returns.reshape(-1, 1), rollout.valid.flatten())
        self._n_updates += averages.count("train/kl") // self.learner.config.minibatches
        self._record(averages.means(), rates, rollout.value, rollout.target)

    def _record(
        self, means: dict[str, Tensor], rates: Rates, value: Tensor, target: Tensor
    ) -> None:
        """Log the update's metrics under SB3's names, and the memory's diagnostics."""
        assert self._collector is not None
        means["train/value"] = 2 * means["train/value"]  # the mean square, as in SB3
        for name, sb3_name in SB3_NAMES.items():
            if name in means:
                self.logger.record(sb3_name, float(means[name]))
        variance = explained_variance(value.flatten().cpu().numpy(), target.flatten().cpu().numpy())
        self.logger.record("train/entropy_loss", -float(means["train/entropy"]))
        self.logger.record("train/explained_variance", float(variance))
        self.logger.record("train/learning_rate", rates.lr)
        self.logger.record("train/clip_range", rates.clip)
        if rates.value_clip is not None:
            self.logger.record("train/clip_range_vf", rates.value_clip)
        loss = means["train/policy"] + self.vf_coef * means["train/value"]
        loss = loss - self.ent_coef * means["train/entropy"] + means["train/core_cost"]
        self.logger.record("train/loss", float(loss))
        log_std = self.policy.net.actor.log_std
        if log_std is not None:
            self.logger.record("train/std", float(log_std.detach().exp().mean()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, scalar in memory_metrics(self.policy.net, self._collector.state).items():
            self.logger.record(name, float(scalar))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
        action_masks: Array | None = None,
    ) -> tuple[Array, Any]:
        """See `MemoryPolicy.predict`; pass the returned state back unchanged."""
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks)

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """Wrap one environment in a ``Monitor`` and a ``DummyVecEnv``; images stay [H, W, C]."""
        if isinstance(env, VecEnv):
            return env
        check_arrays(env.observation_space)
        if monitor_wrapper and not is_wrapped(env, Monitor):
            env = Monitor(env)
        return DummyVecEnv([lambda: env])
