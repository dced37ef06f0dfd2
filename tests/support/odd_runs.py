"""The smallest agents of every kind, in an environment of ``odd_environments``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import memrl
from memrl.config.models import Config
from memrl.evaluation.evaluate import Evaluation, evaluate
from memrl.pipeline.build import make_agent, make_env

_TINY: Final = (
    *("env.num=2", "total_steps=64", "threads=1", "track=off", "evaluate.episodes=3"),
    *("evaluate.max_steps=20", "policy.encoder_dim=8", "memory.hidden_dim=8"),
)
AGENTS: Final = {
    "ppo": ("agent.steps=16", "agent.bptt=16", "agent.minibatches=1", "agent.epochs=1"),
    "r2d2": (
        *("agent=r2d2", "memory=gru", "agent.steps=16", "agent.burn_in=2", "agent.unroll=4"),
        *("agent.n_step=2", "agent.batch=4", "agent.replay.capacity=400", "agent.replay.fill=16"),
    ),
    "nec": (
        *("agent=nec", "agent.steps=16", "agent.capacity=100", "agent.replay=100"),
        *("agent.warmup=8", "agent.batch=4", "agent.neighbours=3", "agent.horizon=4"),
    ),
}


def odd_words(name: str, place: Path, agent: str = "ppo") -> list[str]:
    """The words of ``memrl train`` for a tiny run in ``odd/NAME-v0``, or in ``module:ID``."""
    env = f"env={name if ':' in name else f'odd_environments:odd/{name}-v0'}"
    return [env, *AGENTS[agent], *_TINY, f"run.dir={place / 'run'}"]


def odd_config(name: str, *words: str, agent: str = "ppo") -> Config:
    """A tiny config in ``odd/NAME-v0``, changed by ``words``."""
    return memrl.compose([*odd_words(name, Path("unused"), agent), *words])


def learned(config: Config) -> Evaluation:
    """Train an agent, which draws nothing and keeps nothing, and evaluate it."""
    env = make_env(config)
    agent = make_agent(config, env)
    agent.learn(config.total_steps, lambda metrics: None)
    env.close()
    test, asked = make_env(config, num=2), config.evaluate
    try:
        return evaluate(agent, test, asked.episodes, 0, max_steps=asked.max_steps)
    finally:
        test.close()
