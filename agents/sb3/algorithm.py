"""PPO with any memory behind Stable-Baselines3's surface: its loop, this project's learning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, cast, final

import gymnasium
import numpy as np
import torch
from pydantic import ValidationError
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from memrl.agents.assess import assess
from memrl.agents.config import PPOConfig
from memrl.agents.learner import Learner, Rates
from memrl.agents.report import diagnose
from memrl.agents.sb3.policy import MemoryPolicy
from memrl.agents.sb3.source import MASK_METHOD, VecSource, mask_size
from memrl.rollout.collect import Collector
from memrl.rollout.spaces import Array
from memrl.rollout.storage import Rollout

Schedule = float | Callable[[float], float]
SB3_NAMES = {  # this project's metric -> what SB3's users plot
    "train/policy": "train/policy_gradient_loss",
    "train/value": "train/value_loss",
    "train/kl": "train/approx_kl",
    "train/clipped": "train/clip_fraction",
    "train/ratio_error": "train/ratio_error",
    "train/core_cost": "train/core_cost",
    "grad_norm/all": "train/grad_norm",
}


@final
class MemoryPPO(OnPolicyAlgorithm):
    """Recurrent PPO with a memory chosen by name, for Stable-Baselines3's environments and tools.

    Rollouts are cut into whole chunks of consecutive steps with the memory's state kept at their
    starts; a minibatch is ``batch_size`` env steps in such chunks.

    Args:
        policy: ``MlpPolicy``, ``CnnPolicy`` or ``MultiInputPolicy``; the encoder follows from the
            observation space, so that the three differ in name only.
        env: an environment, its id, or a ``VecEnv``.
        learning_rate: of Adam; a number, or a function of the remaining progress (1 to 0).
        n_steps: env steps per copy and rollout.
        batch_size: env steps per minibatch; divides ``n_steps`` × copies, and is a multiple of the
            chunk length.
        n_epochs: passes over a rollout.
        gamma: discount per env step.
        gae_lambda: λ of generalised advantage estimation.
        clip_range: ε of the clipped ratio; a number or a function, as the learning rate.
        clip_range_vf: ε of the clipped value; None: not clipped.
        normalize_advantage: over the steps of a minibatch.
        ent_coef: weight of the entropy.
        vf_coef: weight of the value loss.
        max_grad_norm: longer gradients are shortened to it.
        bptt: env steps a gradient may travel back, the chunk length; None: the longest that divides
            ``n_steps`` and ``batch_size``.
        burn_in: env steps that only warm the state of a chunk that begins inside a rollout.
        refresh_states: recompute the states at chunk starts before each further epoch.
        target_kl: nats; an epoch beyond it ends the update.
        stats_window_size: episodes that the logged means cover.
        tensorboard_log: where TensorBoard's files go.
        policy_kwargs: ``memory``, ``memory_kwargs`` and fields of `memrl.policy.PolicyConfig`.
        use_sde: gSDE is refused.
        verbose: 0, 1 or 2, as in SB3.
        seed: makes a run repeatable.
        device: where everything but the environments lives.

    Raises:
        ValueError: a space, a memory, an option or sizes that do not fit; the sentence says which.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MemoryPolicy,
        "CnnPolicy": MemoryPolicy,
        "MultiInputPolicy": MemoryPolicy,
    }
    policy: MemoryPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[MemoryPolicy],
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
                "MemoryPPO has no gSDE: its noise lasts over steps, and the memory would have "
                "to be told of it; leave use_sde=False"
            )
        if isinstance(policy, str) and policy not in self.policy_aliases:
            allowed = ", ".join(self.policy_aliases)
            raise ValueError(f"the policy {policy!r} is unknown, allowed: {allowed}")
        self.batch_size, self.n_epochs = batch_size, n_epochs
        self.clip_range, self.clip_range_vf = clip_range, clip_range_vf
        self.normalize_advantage, self.target_kl = normalize_advantage, target_kl
        self.bptt = math.gcd(n_steps, batch_size) if bptt is None else bptt
        self.burn_in, self.refresh_states = burn_in, refresh_states
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
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        env = self.env
        asks_masks = env is not None and env.has_attr(MASK_METHOD)
        self.policy = MemoryPolicy(
            self.observation_space,
            self.action_space,
            masks=mask_size(self.action_space) if asks_masks else 0,
            **self.policy_kwargs,
        ).to(self.device)
        config = self._config(math.inf if env is None else env.num_envs * self.n_steps)
        entropy = None if self.seed is None else self.seed
        act_seed, batch_seed, predict_seed = np.random.SeedSequence(entropy).generate_state(3)
        self.generator = torch.Generator(self.device).manual_seed(int(act_seed))
        shuffler = torch.Generator().manual_seed(int(batch_seed))
        self.policy.generator = torch.Generator(self.device).manual_seed(int(predict_seed))
        self.learner = Learner(self.policy.net, config, shuffler)
        self.rollout_buffer = None  # type: ignore[assignment]  # a `Rollout`, once environments are known
        self._collector: Collector | None = None
        self._source: VecSource | None = None

    def _config(self, steps: float) -> PPOConfig:
        """The learner's options; the sizes are checked here, in SB3's words."""
        if steps % self.batch_size and math.isfinite(steps):
            raise ValueError(
                f"batch_size {self.batch_size} does not divide a rollout of {steps} env steps "
                f"(n_steps {self.n_steps} × {self.n_envs} copies)"
            )
        if self.batch_size % self.bptt:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of the chunk length bptt "
                f"{self.bptt}: minibatches are whole chunks"
            )
        try:
            return PPOConfig(
                steps=self.n_steps,
                bptt=self.bptt,
                burn_in=self.burn_in,
                refresh_states=self.refresh_states,
                epochs=self.n_epochs,
                minibatches=int(steps // self.batch_size) if math.isfinite(steps) else 1,
                lr=float(self.lr_schedule(1.0)),
                entropy=self.ent_coef,
                gamma=self.gamma,
                lam=self.gae_lambda,
                value_coef=self.vf_coef,
                max_grad_norm=self.max_grad_norm,
                target_kl=self.target_kl,
                normalise_advantages=self.normalize_advantage,
            )
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{name} is {first['input']!r}: {first['msg']}") from None

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Rollout, n_rollout_steps: int
    ) -> bool:
        """One rollout; False when a callback asked to stop."""
        self.policy.set_training_mode(False)
        collector, source, rollout = self._ready(env)
        callback.on_rollout_start()
        for n_steps in range(n_rollout_steps):
            collector.step(rollout, n_steps)
            self.num_timesteps += env.num_envs
            new_obs, rewards, dones, infos = source.answer
            actions, values = rollout.action[n_steps], rollout.value[n_steps]
            log_probs = rollout.log_prob[n_steps]
            self._last_obs, self._last_episode_starts = new_obs, dones
            callback.update_locals(locals())  # what SB3's callbacks look for, under its names
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
        del actions, values, log_probs, rewards
        collector.finish(rollout)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _ready(self, env: VecEnv) -> tuple[Collector, VecSource, Rollout]:
        """The collector of these environments, begun anew where SB3's loop has reset them."""
        collector, source = self._collector, self._source
        if collector is None or source is None or source.env is not env:
            self._source = source = VecSource(env, self.device)
            source.adopt(self._last_obs)
            collector = Collector(source, self.policy.net, self.generator, seed=0)
            self.rollout_buffer = collector.rollout(  # type: ignore[assignment]
                steps=self.n_steps, bptt=self.bptt, burn_in=self.burn_in
            )
            self._collector = collector
        elif self._last_obs is not source.answer.obs:
            collector.begin(source.adopt(self._last_obs))
        return collector, source, cast("Rollout", self.rollout_buffer)

    def train(self) -> None:
        """Improve the policy on the rollout."""
        assert self._collector is not None
        self.policy.set_training_mode(True)
        rollout = cast("Rollout", self.rollout_buffer)
        returns = assess(rollout, gamma=self.gamma, lam=self.gae_lambda)
        left = self._current_progress_remaining
        vf = self.clip_range_vf
        rates = Rates(
            lr=float(self.lr_schedule(left)),
            entropy=self.ent_coef,
            clip=_at(self.clip_range, left),
            value_clip=None if vf is None else _at(vf, left),
        )
        averages = self.learner.improve(rollout, rates)
        self.policy.net.encoder.update(rollout.obs, rollout.valid)
        self._n_updates += averages.count("train/kl") // self.learner.config.minibatches
        self._record(averages.means(), rates, rollout.value, returns)

    def _record(
        self, means: dict[str, Tensor], rates: Rates, value: Tensor, returns: Tensor
    ) -> None:
        """The update's metrics under SB3's names, and what the memory shows of itself."""
        assert self._collector is not None
        for name, known in SB3_NAMES.items():
            if name in means:
                self.logger.record(known, float(means[name]))
        variance = explained_variance(
            value.flatten().cpu().numpy(), returns.flatten().cpu().numpy()
        )
        self.logger.record("train/entropy_loss", -float(means["train/entropy"]))
        self.logger.record("train/explained_variance", float(variance))
        self.logger.record("train/learning_rate", rates.lr)
        self.logger.record("train/clip_range", rates.clip)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, scalar in diagnose(self.policy.net, self._collector.state).items():
            self.logger.record(name, float(scalar))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
        action_masks: Array | None = None,
    ) -> tuple[Array, Any]:
        """See `MemoryPolicy.predict`; the state is opaque: hand back what was returned."""
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks)

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """A single environment in a ``Monitor`` and a ``DummyVecEnv``; pictures stay [H, W, C]."""
        if isinstance(env, VecEnv):
            return env
        if monitor_wrapper and not is_wrapped(env, Monitor):
            env = Monitor(env)
        return DummyVecEnv([lambda: env])


def _at(schedule: Schedule, progress_remaining: float) -> float:
    return float(schedule(progress_remaining)) if callable(schedule) else float(schedule)
