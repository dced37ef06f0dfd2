"""``memrl train``: train an agent and evaluate it on new episodes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.agents.base import BaseAgent
from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import PPOConfig
from memrl.config.models import Config
from memrl.distributed.collectives import ranks
from memrl.distributed.group import Joined
from memrl.evaluation.acting import Acting
from memrl.evaluation.evaluate import Evaluation
from memrl.evaluation.recording import Recording, record_episode
from memrl.inspector.page import write_page
from memrl.memory.state import nbytes
from memrl.pipeline.build import capture_graphs, make_agent, make_env
from memrl.pipeline.env_card import draw_view, references
from memrl.pipeline.evaluating import evaluate_agent
from memrl.pipeline.inheritance import Weights, fill
from memrl.pipeline.inspection import inspect_run
from memrl.pipeline.job import Job, Say, faults_told, run, whole_parts
from memrl.pipeline.ranks import check_ranks
from memrl.pipeline.report import (
    draw_episode_memory,
    draw_film,
    evaluation_line,
    film_steps,
    picture_title,
)
from memrl.pipeline.setup import (
    alone,
    find_device,
    part_ranks,
    prepare,
    seed_for,
    suit_threads,
)
from memrl.pipeline.teachers import give_teachers
from memrl.pipeline.trained import Run
from memrl.plots.curve import draw_curve
from memrl.policies.backbone import Backbone
from memrl.run.agent import Agent
from memrl.run.directory import RunDirectory
from memrl.run.global_generators import drawing
from memrl.run.loop import TrainingResult
from memrl.run.progress import Style
from memrl.run.reporter import Reporter

UNTRAINED: Final = "the evaluation is that of an untrained agent"


def train(
    config: Config,
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
) -> Run:
    """Train as configured, then evaluate, draw and write a summary.

    Args:
        config: from ``memrl.compose``.
        target: the directory of a new run, by default ``run.dir`` or a new name under
            ``run.root``; an opened ``RunDirectory`` is continued from its last checkpoint.
        style: of the progress display: auto, bar, lines or quiet.
        say: receives messages for the terminal.

    Of several threads one trains at a time; the others wait.

    Raises:
        ValueError: this is no config, or parts of it do not fit each other, or this machine.
        RunError: the directory is not empty, the disk is full, training diverged, or a run to be
            continued has no intact checkpoint.
        Interrupted: a signal arrived; a checkpoint was saved first.
    """
    if not isinstance(config, Config):
        raise ValueError(
            f"memrl.train({config!r}): a config is wanted, as in memrl.train(memrl.compose(WORDS))"
        )
    with alone(say):
        return train_job(TrainJob(config), target, style=style, say=say)


def train_job(
    job: TrainJob,
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
    reporter: Reporter | None = None,
) -> Run:
    """`train` with an agent that is built already, so that all of its config is known to fit.

    At the end the environments that it learned in are closed. ``reporter`` hears of each
    checkpoint.
    """
    with closing(job.env):
        result = run(job, target, style=style, say=say, reporter=reporter)
    return Run(result.directory, job.config, agent=result.learner)


@final
class TrainJob(Job[Config, Agent]):
    """The steps of ``memrl train``.

    Args:
        config: of the run.
        membership: in the group of the ranks, which rank 0 leaves when all have learned: the rest
            it does alone.

    Raises:
        ValueError: parts of the config do not fit each other, or this machine.
    """

    def __init__(self, config: Config, membership: Joined | None = None) -> None:
        self.config, self.ranks, self._membership = config, ranks(), membership or Joined()
        check_ranks(config)
        with drawing():
            prepare(config)
            self.env = make_env(config)
            try:
                self.learner = make_agent(config, self.env)
                give_teachers(self.learner, config.device)
            except BaseException:
                self.env.close()
                raise
            part_ranks(config.seed)
        suit_threads(config.threads, config.agent.rows(config.env.num), self.learner.policy)
        self._initial = first_weights(self.learner)
        self.core = getattr(self.learner.policy, "core", None)
        self.device = find_device(config.device)
        if config.capture:
            capture_graphs(self.learner)

    def inherit(self, weights: Weights) -> str:
        return_norm = self.learner.return_norm if isinstance(self.learner, PPO) else None
        said = fill(self.learner.policy, weights, return_norm)
        if isinstance(self.learner, BaseAgent):
            self.learner.weights_replaced()
        self._initial = first_weights(self.learner)
        return said

    def notice(self, start: int) -> str | None:
        return "\n".join(filter(None, (whole_rollouts(self.config, start), idle(self.config))))

    def conclude(
        self, directory: RunDirectory, trained: TrainingResult, say: Say
    ) -> dict[str, Any]:
        self._membership.leave()
        if not has_learned(self.learner, self._initial):
            say(f"nothing was learned in {trained.experience:,} env steps: {UNTRAINED}")
        evaluation = evaluate_agent(self.config, self.learner)
        say(evaluation_line(evaluation))
        if self.config.run.pictures:
            self._draw(directory, evaluation, say)
        if self.config.evaluate.inspect:
            self._inspect(directory, say)
        return {**summarize(self.config, self.learner, evaluation), "ranks": self.ranks}

    def _draw(self, directory: RunDirectory, evaluation: Evaluation, say: Say) -> None:
        config, title = self.config, picture_title(self.config)
        levels = references(config, success=evaluation.success is not None)
        with faults_told(say):
            draw_curve(
                directory.metrics,
                directory.curve,
                references=levels,
                evaluated={"success": evaluation.success, "return": evaluation.return_},
                title=title,
            )
        with faults_told(say):
            recording, space = self._record()
            for draw, path in (
                (draw_film, directory.episode),
                (draw_episode_memory, directory.memory),
            ):
                with faults_told(say):
                    draw(config, recording, space, path, title=title)

    def _inspect(self, directory: RunDirectory, say: Say) -> None:
        """Write the page of ``memrl inspect``."""
        how = self.config.evaluate
        with faults_told(say):
            page = inspect_run(
                self.config,
                self.learner,
                Acting(seed_for(self.config.seed, "inspect"), greedy=how.greedy),
                episodes=how.inspect,
                facts={"run": str(directory)},
            )
            write_page(directory.page, [page], title=page.title)

    def _record(self) -> tuple[Recording, spaces.Dict]:
        """One episode of the trained agent, and the space of its observations."""
        config = self.config
        env = make_env(config, num=1)
        try:
            acting = Acting(
                seed_for(config.seed, "watch"),
                greedy=config.evaluate.greedy,
                max_steps=film_steps(config.evaluate.max_steps),
            )
            recording = record_episode(self.learner, env, acting, view=draw_view)
        finally:
            env.close()
        return recording, env.observation_space


def first_weights(agent: Agent) -> list[Tensor]:
    """Copies of the weights of an agent's policy, for `has_learned`."""
    return [weight.detach().clone() for weight in agent.policy.parameters()]


def has_learned(agent: Agent, initial: Sequence[Tensor]) -> bool:
    """Whether an agent has learned anything; ``initial`` are the first weights of its policy."""
    weights = [*agent.policy.parameters()]
    told = agent.has_learned() if isinstance(agent, BaseAgent) else None
    if told is not None or not weights:
        return told is not False
    return any(not torch.equal(*both) for both in zip(initial, weights, strict=True))


def idle(config: Config) -> str | None:
    """A sentence if a run of this config is too short to learn anything, else None."""
    options = config.agent.idle(-(-config.total_steps // ranks()), config.env.num)
    if options is None:
        return None
    return (
        f"total_steps={config.total_steps} ends before anything is learned, with {options}: "
        f"{UNTRAINED}"
    )


def whole_rollouts(config: Config, start: int = 0) -> str | None:
    """A sentence if training continues beyond ``total_steps`` to the end of a rollout, else None.

    ``start`` is the number of env steps so far.
    """
    if not isinstance(config.agent, PPOConfig):  # other agents do not learn from whole rollouts
        return None
    size = config.env.num * config.agent.steps * ranks()
    return whole_parts("total_steps", config.total_steps, start, "rollout", size, "env steps")


def summarize(config: Config, agent: Agent, evaluation: Evaluation) -> dict[str, Any]:
    """The results of a run, for summary.json.

    ``success``, ``return`` and ``length`` are means over the evaluation's episodes; ``evaluation``
    has their intervals. ``state_bytes`` is what one environment's memory holds between steps; 0 for
    a policy without a memory.
    """
    policy = agent.policy
    state = policy.initial_state(1) if isinstance(policy, Backbone) else ()
    return {
        "agent": config.agent.kind,
        "memory": config.memory["name"],
        "env": config.env.title,
        "seed": config.seed,
        "success": evaluation.success.mean if evaluation.success else None,
        "return": evaluation.return_.mean,
        "length": evaluation.length.mean,
        "evaluation": evaluation.as_dict(),
        "parameters": sum(weight.numel() for weight in policy.parameters()),
        "state_bytes": nbytes(state),
    }
