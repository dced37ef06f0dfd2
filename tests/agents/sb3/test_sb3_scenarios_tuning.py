"""Programs that tune SB3's algorithms tune `MemoryPPO`: rl-zoo3's files, and Optuna's callback."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_pages import blocks
from small_models import STEPS, Sampled, copies, make_model
from stable_baselines3.common import callbacks
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
from suites import slow
from torch import nn

from memrl.agents.sb3 import EvalCallback, MemoryPPO

PER = 2 * STEPS
PAGE = Path(__file__).parents[3] / "docs" / "sb3.md"
FILES = {block.file: block.text for block in blocks(PAGE) if block.file}
OTHERS = {
    "n_envs": 1,
    "policy": "MlpLstmPolicy",
    "normalize": "dict(norm_obs=True, norm_reward=False)",
    "learning_rate": 1e-3,
    "clip_range_vf": 0.2,
    "policy_kwargs": "dict(lstm_hidden_size=8, enable_critic_lstm=False, net_arch=[8])",
}


def by_name(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


@dataclass
class Falling:
    """A schedule of rl-zoo3's: a class that SB3 does not have."""

    start: float

    def __call__(self, progress_remaining: float) -> float:
        return progress_remaining * self.start


class Prepared:
    """Hyper-parameters as rl-zoo3 prepares them: strings evaluated, environments wrapped."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options = dict(options)
        for name in ("learning_rate", "clip_range", "clip_range_vf"):
            if isinstance(given := options.get(name), str):
                options[name] = Falling(float(given.removeprefix("lin_")))
        if isinstance(words := options.get("policy_kwargs"), str):
            options["policy_kwargs"] = eval(words, {"nn": nn})
        self.steps, self.n_envs = int(options.pop("n_timesteps")), options.pop("n_envs")
        normalize = options.pop("normalize")
        self.normalise = eval(normalize) if isinstance(normalize, str) else {}
        self.normalise["gamma"] = options.get("gamma", 0.99)
        wrapper = options.pop("env_wrapper", None)
        self.wrapper = wrapper and by_name(wrapper)
        self.stack = options.pop("frame_stack", 1)

    def environments(self, evaluation: bool = False) -> Any:
        number = 1 if evaluation else self.n_envs
        env = make_vec_env("CartPole-v1", number, seed=0, wrapper_class=self.wrapper)
        held = {"norm_reward": False, "training": False} if evaluation else {}
        return VecFrameStack(VecNormalize(env, **(self.normalise | held)), self.stack)


@pytest.mark.parametrize("changes", [{}, slow(OTHERS)], ids=["page", "strings"])
def test_hyper_parameters_of_rl_zoo3_train_go_on_and_act(changes, tmp_path):
    options = yaml.safe_load(FILES["memory_ppo.yml"])["CartPole-v1"]
    smaller = {"n_timesteps": 64, "n_steps": 8, "batch_size": 8, "n_epochs": 1}
    prepared = Prepared(options | smaller | changes)
    watching = [
        callbacks.CheckpointCallback(32, str(tmp_path)),
        callbacks.EvalCallback(prepared.environments(evaluation=True), None, None, 1, 8, verbose=0),
    ]
    env = prepared.environments()
    model = MemoryPPO(env=env, seed=0, device="cpu", tensorboard_log=None, **prepared.options)
    model.learn(prepared.steps, callback=watching)
    model.save(tmp_path / "CartPole-v1")
    again = {k: v for k, v in prepared.options.items() if k not in ("policy", "policy_kwargs")}
    more = MemoryPPO.load(tmp_path / "CartPole-v1.zip", env=env, seed=0, verbose=0, **again)
    more.learn(16)
    zero = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
    loaded = MemoryPPO.load(tmp_path / "CartPole-v1.zip", custom_objects=zero, seed=0)
    env = prepared.environments(evaluation=True)
    obs, state, start = env.reset(), None, [True]
    for _ in range(9):
        action, state = loaded.predict(obs, state=state, episode_start=start, deterministic=True)
        obs, _, start, _ = env.step(action)


@pytest.mark.slow
def test_rl_zoo3_itself_trains_what_the_page_shows(tmp_path):
    zoo = pytest.importorskip("rl_zoo3", reason="pip install rl-zoo3")
    manager = importlib.import_module("rl_zoo3.exp_manager").ExperimentManager
    exec(FILES["zoo.py"], {"__name__": "zoo"})
    assert zoo.ALGOS["memory_ppo"] is MemoryPPO
    config = tmp_path / "memory_ppo.yml"
    config.write_text(FILES["memory_ppo.yml"])
    given = argparse.Namespace()
    sizes = {"n_steps": 16, "batch_size": 64, "n_epochs": 1}
    run = manager(
        *(given, "memory_ppo", "CartPole-v1", str(tmp_path)),
        config=str(config),
        hyperparams=sizes,
        n_timesteps=256,
        eval_freq=128,
        save_freq=128,
        log_interval=-1,
        device="cpu",
    )
    model, _ = run.setup_experiment()
    run.learn(model)
    run.save_trained_model(model)
    assert MemoryPPO.load(f"{run.save_path}/CartPole-v1", learning_rate=0.0, clip_range=0.2)


@dataclass
class Trial:
    """What Optuna's examples ask of a trial; this one is pruned at its second report."""

    reports: list[tuple[int, float]] = field(default_factory=list)

    def report(self, value: float, step: int) -> None:
        self.reports.append((step, value))

    def should_prune(self) -> bool:
        return len(self.reports) == 2


def reporting(base: Any) -> Any:
    class Reports(base):
        """Evaluates, reports to a trial and stops where that is pruned, as in Optuna's example."""

        def __init__(self, env: Any, trial: Any, **given: Any) -> None:
            super().__init__(env, verbose=0, **given)
            self.trial, self.evaluations, self.is_pruned = trial, 0, False

        def _on_step(self) -> bool:
            if self.n_calls % self.eval_freq == 0:
                super()._on_step()
                self.evaluations += 1
                self.trial.report(self.last_mean_reward, self.evaluations)
                self.is_pruned = self.trial.should_prune()
            return not self.is_pruned

    return Reports


@pytest.mark.parametrize("base", [callbacks.EvalCallback, slow(EvalCallback)])
def test_a_trial_is_reported_to_and_pruned(base):
    trial = Trial()
    callback = reporting(base)(Monitor(Sampled()), trial, n_eval_episodes=2, eval_freq=3)
    words = {"net_arch": {"pi": [8], "vf": [8]}, "activation_fn": nn.Tanh, "head_dim": None}
    model = make_model(policy=words).learn(9 * PER, callback=callback)
    assert callback.is_pruned
    assert trial.reports == [(1, 15), (2, 15)]
    assert model.num_timesteps == 2 * 6


def test_a_trial_that_diverges_is_a_value_error():
    model = make_model(copies(), learning_rate=1e20)
    with pytest.raises(
        ValueError, match=r"^learning diverged after 16 env steps: .* became NaN"
    ) as bad:
        model.learn(9 * PER)
    assert "\n" not in str(bad.value)
    model.env.close()
