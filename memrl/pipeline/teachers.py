"""Agents of earlier runs as teachers of a new one: ``agent.teacher.runs``."""

from __future__ import annotations

from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.teachers import Teacher
from memrl.pipeline.spaces import refuse_other_spaces
from memrl.pipeline.trained import open_run
from memrl.run.agent import Agent


def teach(agent: Agent, device: str) -> None:
    """Give a new agent the teachers that its config names, if any.

    Raises:
        RunError: there is no such run, it has no intact checkpoint, or needs a plug-in.
        ValueError: its agent is not PPO, or has other observations or actions.
    """
    if isinstance(agent, PPO) and agent.config.teacher.runs:
        agent.learn_from([_teacher(path, agent, device) for path in agent.config.teacher.runs])


def _teacher(path: str, pupil: PPO, device: str) -> Teacher:
    run = open_run(path, device=device)
    what = f"agent.teacher.runs: {path}"
    if run.config.agent.kind != pupil.config.kind:
        raise ValueError(
            f"{what} was made by agent={run.config.agent.kind}, which has no distribution of "
            "actions (allowed: runs of agent=ppo)"
        )
    trained = run.agent
    assert isinstance(trained, PPO)
    refuse_other_spaces(what, trained.collector.env, pupil.collector.env)
    return Teacher(trained.policy, trained.return_norm)
