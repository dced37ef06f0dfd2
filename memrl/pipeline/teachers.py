"""Earlier agents that a new one imitates: as teachers, or on sequences of their own tasks."""

from __future__ import annotations

from contextlib import closing

import torch

from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import ImitationConfig, PPOConfig
from memrl.agents.ppo.teachers import Teacher, teach
from memrl.envs.equal_spaces import refuse_other_spaces
from memrl.nn.normalise import unstandardised
from memrl.pipeline.setup import seed_for
from memrl.pipeline.trained import Run, open_run
from memrl.rollout.collect import Collector
from memrl.rollout.storage import Rollout
from memrl.run.agent import Agent


def give_teachers(agent: Agent, device: str) -> None:
    """Give a new agent the teachers, and the sequences to rehearse, that its config names.

    Raises:
        RunError: there is no such run, it has no intact checkpoint, or needs a plug-in.
        ValueError: its agent is not PPO, or has other observations or actions.
    """
    if not isinstance(agent, PPO):
        return
    config = agent.config
    if config.teacher.runs:
        found = [_opened(path, config.teacher, agent, device) for path in config.teacher.runs]
        agent.learn_from([teacher for _, teacher in found])
    if config.rehearsal.runs:
        found = [_opened(path, config.rehearsal, agent, device) for path in config.rehearsal.runs]
        agent.rehearse([_recorded(run, teacher, config) for run, teacher in found])


def _recorded(run: Run, teacher: Teacher, config: PPOConfig) -> Rollout:
    """What the agent of a run does in its own environments, with its values in units of reward.

    It acts with seeds of the run's own, so that a resumed run rehearses the same.
    """
    policy, seed = teacher.policy, seed_for(run.config.seed, "watch")
    with closing(run.env(num=run.config.env.num)) as env:
        generator = torch.Generator(env.device).manual_seed(seed)
        collector = Collector(env, policy, generator, seed=seed)
        rollout = collector.rollout(
            steps=config.rehearsal.steps, bptt=config.bptt, burn_in=config.burn_in
        )
        collector.collect(rollout)
        with torch.no_grad():
            out = policy(rollout.obs, policy.initial_state(env.num_envs), rollout.start)
    teach(rollout, 0, out._replace(value=unstandardised(out.value, teacher.return_norm)))
    return rollout


def _opened(path: str, group: ImitationConfig, pupil: PPO, device: str) -> tuple[Run, Teacher]:
    """A run, and its agent."""
    run = open_run(path, device=device)
    what = f"{group.KEY}.runs: {path}"
    if run.config.agent.kind != pupil.config.kind:
        raise ValueError(
            f"{what} was made by agent={run.config.agent.kind}, which has no distribution of "
            "actions (allowed: runs of agent=ppo)"
        )
    trained = run.agent
    assert isinstance(trained, PPO)
    refuse_other_spaces(what, trained.collector.env, pupil.collector.env)
    return run, Teacher(trained.policy, trained.return_norm)
