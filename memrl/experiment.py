"""A whole run: training, evaluation on fresh episodes, pictures, summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium import spaces
from numpy.typing import NDArray

from memrl.agent import Agent
from memrl.agents.config import PPOConfig
from memrl.agents.ppo import PPO
from memrl.assemble import (
    card_of,
    checkpoints_of,
    compile_memory,
    draw_seen,
    make_agent,
    make_env,
    open_run,
    prepare,
    references,
    stream,
)
from memrl.config import Config
from memrl.errors import RunError
from memrl.run.curve import draw_curve
from memrl.run.directory import RunDirectory
from memrl.run.episode import draw_episode
from memrl.run.evaluation import Evaluation, evaluate
from memrl.run.loop import Fitted, fit
from memrl.run.progress import Style, progress_bar
from memrl.run.recording import Recording, record_episode
from memrl.run.slots import draw_memory
from memrl.run.summary import About, summarize, write_summary
from memrl.run.tracking import Tracker
from memrl.wording import action_in_words, entry_in_words, mission_of

Say = Callable[[str], None]


class Run(NamedTuple):
    """A finished run."""

    path: Path
    summary: dict[str, Any]  # as in summary.json
    agent: Agent  # as at the end of training


def train(
    config: Config,
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
) -> Run:
    """Train as ``config`` says, then evaluate, draw and summarise.

    Args:
        config: from ``memrl.compose``.
        target: where a new run goes, by default ``run.dir`` or a new name under ``run.root``; an
            opened ``RunDirectory`` is continued from its last checkpoint.
        style: of the progress display: auto, bar, lines or quiet.
        say: receives sentences for the person at the terminal.

    Raises:
        ValueError: parts of the config that do not fit each other, or this machine.
        RunError: the directory is taken, the disk is full, training diverged, or no checkpoint of
            a run to be continued is intact.
        Interrupted: a signal arrived; a checkpoint was saved first.
    """
    prepare(config)
    agent = make_agent(config, make_env(config))  # what does not fit fails before a file is made
    if config.capture:
        _capture(agent)
    if config.compile:
        compile_memory(getattr(agent.policy, "core", None), say)
    directory, resume = open_run(config, target, "train", agent.unit, say)
    with (
        Tracker(
            directory,
            config.model_dump(mode="json"),
            tensorboard=config.track.tensorboard,
            wandb=config.track.wandb,
            project=config.track.project,
            resume=resume,
            say=say,
        ) as tracker,
    ):
        start = resume.experience if resume else 0
        if (late := whole_rollouts(config, start)) is not None:
            say(late)
        with progress_bar(config.total_steps, start=start, style=style) as progress:
            fitted = fit(
                agent,
                directory,
                checkpoints_of(directory, config, warn=say),
                total=config.total_steps,
                tracker=tracker,
                progress=progress,
                resume=resume,
                checkpoint_seconds=config.run.checkpoint_seconds,
            )
        summary = _conclude(config, agent, directory, fitted, say)
        tracker.finish(episode=directory.episode, checkpoint=fitted.checkpoint)
    return Run(directory.path, summary, agent)


def whole_rollouts(config: Config, start: int = 0) -> str | None:
    """A sentence where training goes on beyond ``total_steps``, to the end of a rollout; or None.

    ``start`` counts the env steps that lie behind.
    """
    if not isinstance(config.agent, PPOConfig):  # others do not learn by whole rollouts
        return None
    size, wanted = config.env.num * config.agent.steps, config.total_steps - start
    if wanted <= 0 or wanted % size == 0:
        return None
    rollouts = math.ceil(wanted / size)
    more = "more " if start else ""
    return (
        f"total_steps={config.total_steps} is reached after {rollouts:,} {more}"
        f"rollout{'s' if rollouts > 1 else ''} of {size:,} env steps"
    )


def _capture(agent: Agent) -> None:
    if not isinstance(agent, PPO):
        raise ValueError("capture=true records rollouts, which agent=ppo alone has")
    agent.capture()


def _conclude(
    config: Config, agent: Agent, directory: RunDirectory, fitted: Fitted, say: Say
) -> dict[str, Any]:
    """Evaluate the agent as it is after training, and leave pictures and a summary."""
    episodes, greedy = config.evaluate.episodes, config.evaluate.greedy
    env = make_env(config, num=min(config.env.num, episodes))
    evaluation = evaluate(agent, env, episodes, stream(config.seed, "evaluate"), greedy=greedy)
    env.close()
    say(described(evaluation))
    stage = make_env(config, num=1)
    seed = stream(config.seed, "watch")
    recording = record_episode(agent, stage, seed=seed, greedy=greedy, view=draw_seen)
    stage.close()
    title = titled(config)
    levels = references(config, success=evaluation.success is not None)
    for draw in (
        lambda: draw_curve(directory.metrics, directory.curve, references=levels, title=title),
        lambda: film(config, recording, stage.observation_space, directory.episode, title=title),
        lambda: draw_memory(recording, directory.memory, title=title),
    ):
        try:
            draw()
        except RunError as error:  # nothing to draw; a full disk stops the summary below
            say(str(error))
    about = About(
        agent=config.agent.kind,
        memory=config.memory["name"],
        env=config.env.id,
        seed=config.seed,
        parameters=sum(weight.numel() for weight in agent.policy.parameters()),
        device=env.device,
    )
    summary = summarize(about, fitted, evaluation)
    write_summary(directory.summary, summary)
    return summary


def titled(config: Config, *, ablate: str | None = None) -> str:
    """What stands above the pictures of a run: its memory, what is silenced of it, its task."""
    silenced = {"state": ", without its state", "reads": ", reads silenced"}
    return f"{config.learner_name} on {config.env.id}{silenced[ablate] if ablate else ''}"


def film(
    config: Config, recording: Recording, space: spaces.Dict, path: Path, *, title: str
) -> None:
    """Draw an episode of a run as GIF; ``space`` is that of its observations.

    Raises:
        RunError: the disk is full.
    """
    card = card_of(config)

    def observed(obs: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        return {key: entry_in_words(key, obs, space, card) for key in space}

    draw_episode(
        recording,
        path,
        title=title,
        mission=mission_of(recording.observations[0], space, card),
        observed=observed,
        done=lambda action: action_in_words(action, card),
    )


def described(evaluation: Evaluation) -> str:
    """One line: success, return and length with their 95 % intervals."""
    parts = [f"{evaluation.episodes:,} episodes:"]
    for name, estimate in (
        ("success", evaluation.success),
        ("cue seen", evaluation.cue_seen),
        ("return", evaluation.return_),
        ("length", evaluation.length),
    ):
        if estimate is not None:
            parts.append(f"{name} {estimate}")
    return "  ".join(parts)
