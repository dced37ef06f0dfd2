"""Earlier agents that a new one imitates: as teachers, or on sequences of their own tasks."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import torch
from torch import Tensor

from memrl.agents.config import EarlierRunsConfig
from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import PPOConfig
from memrl.agents.ppo.teachers import Teacher, teach
from memrl.agents.r2d2.agent import R2D2
from memrl.agents.r2d2.config import R2D2Config
from memrl.agents.r2d2.rehearsal import record
from memrl.envs.equal_spaces import refuse_other_spaces
from memrl.nn.normalise import unstandardised
from memrl.pipeline.setup import seed_for
from memrl.pipeline.trained import Run, open_run
from memrl.rollout.collect import Collector
from memrl.rollout.storage import Rollout
from memrl.run.agent import Agent

_NEEDS: Final = {"ppo": "distribution of actions", "r2d2": "recurrent Q-network"}  # by agent


def give_teachers(agent: Agent, device: str) -> None:
    """Give a new agent the teachers, and the sequences to rehearse, that its config names.

    Raises:
        RunError: there is no such run, it has no intact checkpoint, or needs a plug-in.
        ValueError: its agent is of another kind, or has other observations or actions.
    """
    if isinstance(agent, PPO):
        config = agent.config
        if config.teacher.runs:
            found = [_teacher(run) for run in _opened(config.teacher, agent, device)]
            agent.learn_from(found)
        if config.rehearsal.runs:
            runs = _opened(config.rehearsal, agent, device)
            agent.rehearse([_rollout(run, config) for run in runs])
    elif isinstance(agent, R2D2) and agent.config.rehearsal.runs:
        runs = _opened(agent.config.rehearsal, agent, device)
        agent.rehearse([_recording(run, agent.config) for run in runs])


def _rollout(run: Run, config: PPOConfig) -> Rollout:
    """What the agent of a run does in its own environments, with its values in units of reward.

    It acts with seeds of the run's own, so that a resumed run rehearses the same.
    """
    (policy, norm), seed = _teacher(run), seed_for(run.config.seed, "watch")
    with closing(run.env(num=run.config.env.num)) as env:
        generator = torch.Generator(env.device).manual_seed(seed)
        collector = Collector(env, policy, generator, seed=seed)
        rollout = collector.rollout(
            steps=config.rehearsal.steps, bptt=config.bptt, burn_in=config.burn_in
        )
        collector.collect(rollout)
        with torch.no_grad():
            out = policy(rollout.obs, policy.initial_state(env.num_envs), rollout.start)
    teach(rollout, 0, out._replace(value=unstandardised(out.value, norm)))
    return rollout


def _recording(run: Run, config: R2D2Config) -> dict[str, Tensor]:
    """The same of an agent with action values; see ``record``."""
    trained, seed = run.agent, seed_for(run.config.seed, "watch")
    assert isinstance(trained, R2D2)
    with closing(run.env(num=run.config.env.num)) as env:
        return record(env, trained.policy, config, rescaled=trained.config.rescale, seed=seed)


def _teacher(run: Run) -> Teacher:
    trained = run.agent
    assert isinstance(trained, PPO)
    return Teacher(trained.policy, trained.return_norm)


def _opened(group: EarlierRunsConfig, pupil: PPO | R2D2, device: str) -> list[Run]:
    """The runs that a group names, all of agents of the pupil's kind in the same spaces."""
    runs, kind = [], pupil.config.kind
    for path in group.runs:
        run, what = open_run(path, device=device), f"{group.KEY}.runs: {path}"
        if run.config.agent.kind != kind:
            raise ValueError(
                f"{what} was made by agent={run.config.agent.kind}, which has no {_NEEDS[kind]} "
                f"(allowed: runs of agent={kind})"
            )
        trained = run.agent
        assert isinstance(trained, PPO | R2D2)
        refuse_other_spaces(what, trained.collector.env, pupil.collector.env)
        runs.append(run)
    return runs
