"""PPO with any memory for Stable-Baselines3: SB3's training loop, memrl's learner."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, SupportsFloat, SupportsIndex, cast, final

import gymnasium
import numpy as np
import torch
from numpy.typing import ArrayLike
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from memrl.agents.ppo.learner import Learner
from memrl.agents.ppo.rates import Rates
from memrl.agents.sb3.live_options import LiveOptions
from memrl.agents.sb3.masking import obeys_masks
from memrl.agents.sb3.options import learner_config, minibatch_size, plain, warn_of_a_rest
from memrl.agents.sb3.plugins import with_class_names
from memrl.agents.sb3.policy import MemoryPolicy, check_overrides
from memrl.agents.sb3.rates import LearningRates
from memrl.agents.sb3.recurrent_words import RECURRENT_POLICIES, with_recurrent_defaults
from memrl.agents.sb3.schedules import (
    GivenSchedule,
    as_function,
    initial_rate,
    need_functions,
    value_at,
)
from memrl.agents.sb3.training_log import record
from memrl.agents.sb3.vec_env import check_arrays, mask_size
from memrl.rollout.masks import MASK_METHOD
from memrl.rollout.spaces import Array
from memrl.run.global_generators import drawing


@final
class MemoryPPO(LiveOptions):
    """Recurrent PPO with any memory, for Stable-Baselines3's environments and tools.

    Rollouts are split into chunks of consecutive steps, and the memory's state at the start of each
    chunk is stored. A minibatch consists of chunks with ``batch_size`` env steps in total. Options
    are attributes, which may be changed while the model learns.

    Args:
        policy: ``MlpPolicy``, ``CnnPolicy`` or ``MultiInputPolicy``; all three choose the encoder
            by the observation space. ``MlpLstmPolicy``, ``CnnLstmPolicy`` and
            ``MultiInputLstmPolicy`` are built like those of sb3-contrib's RecurrentPPO.
        env: a Gymnasium environment, its id, or a ``VecEnv``.
        learning_rate: of the optimiser; a number, or a function of the remaining progress (1 to 0).
        n_steps: env steps per environment and rollout.
        batch_size: env steps per minibatch; the last one of a pass has what is left. None: all.
        n_epochs: passes over a rollout.
        gamma: discount per env step.
        gae_lambda: λ of generalised advantage estimation.
        clip_range: ε of the clipped ratio; a number, or a function like ``learning_rate``.
        clip_range_vf: ε of the clipped value; None: not clipped.
        normalize_advantage: normalise advantages over the steps of a minibatch.
        ent_coef: weight of the entropy.
        vf_coef: weight of the value loss.
        max_grad_norm: gradients are clipped to this norm.
        use_sde: must be False; gSDE is not supported.
        sde_sample_freq: must be -1, likewise.
        target_kl: nats; an update ends before a minibatch whose KL divergence exceeds 1.5 times it.
        stats_window_size: number of episodes in the logged means.
        tensorboard_log: folder for TensorBoard's files.
        policy_kwargs: see `MemoryPolicy`.
        verbose: 0, 1 or 2, as in SB3.
        seed: makes a run repeatable.
        device: of the network and the rollouts.
        bptt: env steps a gradient may travel back, the chunk length; None: 64, or ``batch_size`` if
            that is smaller.
        burn_in: env steps before a chunk that only compute its state; none at a rollout's start.
        refresh_states: recompute the states at chunk starts before each further epoch.
        normalize_returns: the critic predicts standardised returns (running statistics), so that
            its loss does not dominate the policy's in the memory that both share.
        rollout_buffer_class: must be None; states are stored with the rollout's chunks.
        rollout_buffer_kwargs: must be None, likewise.

    Raises:
        ValueError: an unsupported space, an unknown memory or option, or a number out of range;
            also where an attribute is set later.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MemoryPolicy,
        "CnnPolicy": MemoryPolicy,
        "MultiInputPolicy": MemoryPolicy,
        **dict.fromkeys(RECURRENT_POLICIES, MemoryPolicy),
    }

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: gymnasium.Env[Any, Any] | VecEnv | str | None,
        learning_rate: GivenSchedule = 3e-4,
        n_steps: SupportsIndex = 128,
        batch_size: SupportsIndex | None = 128,
        n_epochs: SupportsIndex = 10,
        gamma: SupportsFloat = 0.99,
        gae_lambda: SupportsFloat = 0.95,
        clip_range: GivenSchedule = 0.2,
        clip_range_vf: GivenSchedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: SupportsFloat = 0.0,
        vf_coef: SupportsFloat = 0.5,
        max_grad_norm: SupportsFloat = 0.5,
        use_sde: bool = False,
        sde_sample_freq: SupportsIndex = -1,
        target_kl: SupportsFloat | None = None,
        stats_window_size: SupportsIndex = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: SupportsIndex = 0,
        seed: SupportsIndex | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        *,
        bptt: SupportsIndex | None = None,
        burn_in: SupportsIndex = 0,
        refresh_states: bool = False,
        normalize_returns: bool = True,
        rollout_buffer_class: Any = None,
        rollout_buffer_kwargs: Any = None,
    ) -> None:
        self._refuse(policy, use_sde, sde_sample_freq, rollout_buffer_class, rollout_buffer_kwargs)
        if isinstance(policy, str):
            policy_kwargs = with_recurrent_defaults(policy, policy_kwargs)
        self.batch_size, self.n_epochs = plain(batch_size), plain(n_epochs)
        self.clip_range, self.clip_range_vf = plain(clip_range), plain(clip_range_vf)
        self.normalize_advantage, self.target_kl = plain(normalize_advantage), plain(target_kl)
        self.bptt, self.burn_in = plain(bptt), plain(burn_in)
        self.refresh_states, self.normalize_returns = plain(refresh_states), normalize_returns
        self.masks = 0  # entries of an action mask
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,  # type: ignore[arg-type]
            learning_rate=plain(learning_rate),
            n_steps=plain(n_steps),
            gamma=plain(gamma),
            gae_lambda=plain(gae_lambda),
            ent_coef=plain(ent_coef),
            vf_coef=plain(vf_coef),
            max_grad_norm=plain(max_grad_norm),
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=plain(stats_window_size),
            tensorboard_log=tensorboard_log,
            policy_kwargs=with_class_names(plain(policy_kwargs)),
            verbose=plain(verbose),
            seed=plain(seed),
            device=device,
            _init_setup_model=_init_setup_model,
        )

    def _refuse(
        self, policy: Any, use_sde: bool, sde_sample_freq: Any, buffer: Any, buffer_kwargs: Any
    ) -> None:
        """Refuse what a model with a memory cannot do."""
        sde = {"use_sde": (use_sde, False), "sde_sample_freq": (sde_sample_freq, -1)}
        for name, (value, allowed) in sde.items():
            if value != allowed:
                raise ValueError(
                    f"{name}={value}, allowed: {allowed}, since gSDE's noise lasts over several "
                    "steps and the memory does not observe it"
                )
        if buffer is not None or buffer_kwargs:
            raise ValueError(
                "rollout_buffer_class and rollout_buffer_kwargs are given, allowed: None, since "
                "memrl's rollout stores the memory's states; a callback can change its arrays"
            )
        if isinstance(policy, str) and policy not in self.policy_aliases:
            known = ", ".join(self.policy_aliases)
            raise ValueError(f"the policy {policy!r} is unknown, allowed: {known}")
        if not isinstance(policy, str) and not issubclass(policy, MemoryPolicy):
            raise ValueError(f"the policy {policy.__name__} has no memory, allowed: MemoryPolicy")
        if not isinstance(policy, str):
            check_overrides(policy)

    def _setup_model(self) -> None:
        if not hasattr(self, "observation_space"):
            raise ValueError("env is None, allowed: an environment, its id, or a VecEnv")
        self.clip_range = as_function(self.clip_range)
        if self.clip_range_vf is not None:
            self.clip_range_vf = as_function(self.clip_range_vf)
        self._setup_lr_schedule()
        if self.env is not None and self.env.has_attr(MASK_METHOD):
            self.masks = mask_size(self.action_space)
        with drawing():
            self.set_random_seed(self.seed)
            self.policy = cast("type[MemoryPolicy]", self.policy_class)(
                self.observation_space,
                self.action_space,
                masks=self.masks,
                normalize_returns=self.normalize_returns,
                **self.policy_kwargs,
            ).to(self.device)
        config = learner_config(self)
        optimizer = self.policy.make_optimizer(initial_rate(self.learning_rate))
        self.rates = LearningRates(optimizer)
        self.generator = torch.Generator(self.device)
        self.policy.generator = torch.Generator(self.device)
        self.learner = Learner(
            self.policy.net, config, torch.Generator(), optimizer, self.policy.auxiliary
        )
        warn_of_a_rest(self)
        self._seed_generators(self.seed)
        self.rollout_buffer = None  # type: ignore[assignment]  # made by the first `learn`
        self._collector = None
        self._built = True

    def set_random_seed(self, seed: SupportsIndex | None = None) -> None:
        """Seed everything that draws: training actions, minibatches and `predict` among it."""
        plain_seed: int | None = plain(seed)
        super().set_random_seed(plain_seed)
        if plain_seed is not None and self._built:
            self._seed_generators(plain_seed)
            if self._saved_collector is not None:
                self._saved_collector["generator"] = self.generator.get_state()

    def _seed_generators(self, seed: int | None) -> None:
        act, batch, predict = map(int, np.random.SeedSequence(seed).generate_state(3))
        self.generator.manual_seed(act)
        self.learner.shuffler.manual_seed(batch)
        self.policy.generator.manual_seed(predict)

    def learn(
        self,
        total_timesteps: SupportsFloat,
        callback: Callable[..., Any] | list[BaseCallback] | BaseCallback | None = None,
        log_interval: int = 1,
        tb_log_name: str = "MemoryPPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
        *,
        use_masking: bool | None = None,
    ) -> MemoryPPO:
        """See SB3's ``BaseAlgorithm.learn``; ``tb_log_name`` defaults to this class's name.

        Args:
            total_timesteps: env steps of all environments; as in SB3 it may be a float (1e6).
            callback: SB3's callbacks, or a function.
            log_interval: rollouts from log to log.
            tb_log_name: of TensorBoard's folder.
            reset_num_timesteps: begin new episodes and count env steps from zero.
            progress_bar: draw one.
            use_masking: obey action masks, as in sb3-contrib; None: if the environments have any.

        Raises:
            ValueError: a schedule of a loaded model was a function and has not been given again,
                masks are asked for and there are none, or ``total_timesteps`` is no number.
        """
        total = plain(total_timesteps)
        if not isinstance(total, int | float) or math.isnan(total):
            raise ValueError(f"total_timesteps is {total!r}, allowed: a number of env steps")
        need_functions(
            {name: getattr(self, name) for name in ("learning_rate", "clip_range", "clip_range_vf")}
        )
        if self.env is not None:
            obeys_masks(self.env, use_masking)
        self._use_masking = use_masking
        return super().learn(
            total,  # type: ignore[arg-type]  # SB3 takes floats, too
            callback,
            log_interval,
            tb_log_name,
            reset_num_timesteps,
            progress_bar,
        )

    def train(self) -> None:
        """Update the policy on the rollout.

        Raises:
            ValueError: a loss or a gradient became NaN or infinite; SB3's users catch this one.
        """
        self.policy.set_training_mode(True)
        rollout, norm = self.rollout_buffer.storage, self.return_norm
        returns = self.rollout_buffer.set_targets()
        left, vf, kl = self._current_progress_remaining, self.clip_range_vf, self.target_kl
        rates = Rates(
            lr=None,
            entropy=self.ent_coef,
            clip=value_at(self.clip_range, left),
            value_clip=None if vf is None else value_at(vf, left),
            max_kl=None if kl is None else 1.5 * kl,
        )
        lr = self.rates.update(self.lr_schedule, left)
        learner = self.learner
        learner.config, learner.batch_size = learner_config(self), minibatch_size(self)
        try:
            averages = learner.improve(rollout, rates)
        except FloatingPointError as error:
            raise ValueError(
                f"learning diverged after {self.num_timesteps:,} env steps: {error}; a smaller "
                "learning_rate or max_grad_norm may help"
            ) from error
        self.policy.net.encoder.update(rollout.obs, rollout.valid)
        if norm is not None:
            norm.update(returns.reshape(-1, 1), rollout.valid.flatten())
        self._n_updates += learner.epochs
        record(self, averages.means(), rates, lr)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: ArrayLike | None = None,
        deterministic: bool = False,
        action_masks: ArrayLike | None = None,
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
