"""PPO with any memory behind Stable-Baselines3's surface: its loop, this project's learning."""

from __future__ import annotations

import math
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
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import explained_variance, get_system_info
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from memrl.agents.assess import assess
from memrl.agents.config import PPOConfig
from memrl.agents.learner import Learner, Rates
from memrl.agents.report import diagnose
from memrl.agents.sb3 import archive, normalisation, saving
from memrl.agents.sb3.policy import MemoryPolicy
from memrl.agents.sb3.schedules import Schedule, at
from memrl.agents.sb3.source import MASK_METHOD, VecSource, mask_size
from memrl.nn.normalise import RunningNorm
from memrl.rollout.collect import Collector
from memrl.rollout.spaces import Array
from memrl.rollout.storage import Rollout
from memrl.saved.spaces import space_to_data

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
        normalize_returns: the critic predicts returns standardised by those seen, so that its loss
            does not drown the policy's in the memory that both share.
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
        self.normalize_returns = normalize_returns
        self.masks = 0  # entries of an action mask
        self._kept: dict[str, Any] | None = None  # of a collector, from a file
        self._normalisation: dict[str, Any] | None = None  # of a ``VecNormalize``, from a file
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
        if not hasattr(self, "observation_space"):
            raise ValueError("MemoryPPO needs an environment, env is None")
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.env is not None and self.env.has_attr(MASK_METHOD):
            self.masks = mask_size(self.action_space)
        self.policy = MemoryPolicy(
            self.observation_space, self.action_space, masks=self.masks, **self.policy_kwargs
        ).to(self.device)
        config = self._config(self.n_envs * self.n_steps)
        act_seed, batch_seed, predict_seed = np.random.SeedSequence(self.seed).generate_state(3)
        self.generator = torch.Generator(self.device).manual_seed(int(act_seed))
        self.policy.generator = torch.Generator(self.device).manual_seed(int(predict_seed))
        shuffler = torch.Generator().manual_seed(int(batch_seed))
        self.learner = Learner(self.policy.net, config, shuffler)
        self.policy.optimizer = self.learner.optimizer  # where SB3 looks for it
        self.return_norm: RunningNorm | None = None
        if self.normalize_returns:
            self.return_norm = RunningNorm(1, clip=None).to(self.device)
        self.rollout_buffer = None  # type: ignore[assignment]  # a `Rollout`, made by the first `learn`
        self._collector: Collector | None = None
        self._source: VecSource | None = None

    def _config(self, steps: int) -> PPOConfig:
        """The learner's options; the sizes are checked here, in SB3's words."""
        if steps % self.batch_size:
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
                minibatches=steps // self.batch_size,
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

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int
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
            if self._kept is not None:
                collector.load_state_dict(self._kept)
                self._kept = None
            self._collector = collector
        elif self._last_obs is not source.answer.obs:
            collector.begin(source.adopt(self._last_obs))
        return collector, source, cast("Rollout", self.rollout_buffer)

    def train(self) -> None:
        """Improve the policy on the rollout."""
        assert self._collector is not None
        self.policy.set_training_mode(True)
        rollout = cast("Rollout", self.rollout_buffer)
        norm = self.return_norm
        returns = assess(rollout, gamma=self.gamma, lam=self.gae_lambda, return_norm=norm)
        left = self._current_progress_remaining
        vf = self.clip_range_vf
        rates = Rates(
            lr=float(self.lr_schedule(left)),
            entropy=self.ent_coef,
            clip=at(self.clip_range, left),
            value_clip=None if vf is None else at(vf, left),
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
        """The update's metrics under SB3's names, and what the memory shows of itself."""
        assert self._collector is not None
        for name, known in SB3_NAMES.items():
            if name in means:
                self.logger.record(known, float(means[name]))
        variance = explained_variance(value.flatten().cpu().numpy(), target.flatten().cpu().numpy())
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

    def save(self, path: archive.Place) -> None:  # type: ignore[override]
        """Everything but the environments: safetensors and JSON in a zip, written atomically.

        With it go the statistics of a ``VecNormalize`` and the memory's state in every copy.

        Args:
            path: without an ending it gets ``.zip``; or a stream.

        Raises:
            TypeError: ``policy_kwargs`` or an environment's episode infos hold what is no data.
            RunError: the disk is full or not writable; an older file is as it was.
        """
        archive.write(path, saving.parts(self), kind=saving.KIND)

    @classmethod
    def load(
        cls,
        path: archive.Place,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> MemoryPPO:
        """A model as it was saved; no code of the file runs.

        Args:
            path: as for `save`.
            env: to learn on in; of as many copies as the saved one. One without a ``VecNormalize``
                gets the one that was saved.
            device: where the model shall live.
            custom_objects: as ``kwargs``, for SB3's users.
            print_system_info: print this machine's.
            force_reset: begin new episodes; False goes on with the memory's state, for an ``env``
                that was not touched since.
            kwargs: arguments of the constructor that shall differ, and ``n_envs``.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no file of a `MemoryPPO`, or one that does not fit; the sentence says why.
        """
        if print_system_info:
            get_system_info()
        given = {**(custom_objects or {}), **kwargs}
        saved = archive.read(path, kind=saving.KIND)
        return saving.revive(cls, saved, env, device=device, given=given, force_reset=force_reset)

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Parameters of a file or of ``get_parameters``, into this model.

        Raises:
            ValueError: the file's policy is another one.
        """
        given = load_path_or_dict
        if not isinstance(given, dict):
            given = saving.read_parameters(given, self)
        super().set_parameters(given, exact_match, device)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Learn on in other environments of the same kind and number.

        Raises:
            ValueError: another number of copies, or other spaces.
        """
        vec = self._wrap_env(env, self.verbose)
        if vec.num_envs != self.n_envs:
            raise ValueError(
                f"the model learns in {self.n_envs} copies and env has {vec.num_envs}: give as "
                f"many, or load(path, env, n_envs={vec.num_envs}) to change it"
            )
        if self._normalisation is not None:
            vec = normalisation.normalised(vec, self._normalisation)
            self._normalisation = None
        for what in ("observation_space", "action_space"):
            there, here = getattr(vec, what), getattr(self, what)
            if space_to_data(there) != space_to_data(here):
                raise ValueError(f"the {what} of env is {there}, the model's is {here}")
        self.observation_space, self.action_space = vec.observation_space, vec.action_space
        super().set_env(vec, force_reset)

    def generators(self) -> list[torch.Generator]:
        """All that draws: actions in learning, minibatches, actions in `predict`."""
        return [self.generator, self.learner.shuffler, self.policy.generator]

    def collector_state(self) -> dict[str, Any] | None:
        """What lasts from rollout to rollout; None before the first."""
        return self._kept if self._collector is None else self._collector.state_dict()

    def return_statistics(self) -> dict[str, Any] | None:
        """What the critic's returns are standardised by, if they are."""
        return None if self.return_norm is None else dict(self.return_norm.state_dict())

    def normalisation_state(self) -> dict[str, Any] | None:
        """Statistics of the environments' ``VecNormalize``, if there is one."""
        own = self._vec_normalize_env
        return self._normalisation if own is None else normalisation.statistics(own)

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """A single environment in a ``Monitor`` and a ``DummyVecEnv``; pictures stay [H, W, C]."""
        if isinstance(env, VecEnv):
            return env
        if monitor_wrapper and not is_wrapped(env, Monitor):
            env = Monitor(env)
        return DummyVecEnv([lambda: env])
