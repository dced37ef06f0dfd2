"""memrl evaluate and watch: looking at runs that were trained before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt
from pydantic import model_validator

from memrl.cli.arguments import MemoryOptions, file_to_write, parse
from memrl.cli.fit_evaluation import evaluate_fit
from memrl.config.models import Config, Count, LaxPath
from memrl.evaluation.acting import Acting
from memrl.evaluation.evaluate import Evaluation
from memrl.evaluation.recording import record_episode
from memrl.options import Strict
from memrl.pipeline.build import make_env
from memrl.pipeline.env_card import draw_view
from memrl.pipeline.evaluating import evaluate_agent
from memrl.pipeline.loading import command_of, read_config, read_plain
from memrl.pipeline.report import (
    draw_episode_memory,
    draw_film,
    evaluation_line,
    film_steps,
    picture_title,
)
from memrl.pipeline.setup import prepare, seed_for
from memrl.pipeline.trained import load
from memrl.run.agent import Agent
from memrl.run.directory import RunDirectory


class RecallOptions(Strict):
    """How an agent of a run is recalled and acts; None is what the run was configured with."""

    checkpoint: Literal["last", "best"] = "last"
    greedy: bool | None = None
    ablate: str | None = None  # "state", or one of the memory's `ablations`
    seed: Annotated[int, Ge(0), Lt(2**32)] | None = None
    device: str | None = None
    bank: Annotated[int, Ge(0)] | None = None
    memory: MemoryOptions = MemoryOptions()


class EvaluateOptions(RecallOptions):
    """Keys of ``memrl evaluate``; None is what the run was configured with."""

    episodes: Annotated[int, Ge(1)] | None = None
    num: Annotated[int, Ge(1)] | None = None
    max_steps: Count | None = None


class WatchOptions(EvaluateOptions):
    """Keys of ``memrl watch``; ``episodes`` are those of each evaluation around an ablation."""

    out: LaxPath | None = None
    window: bool = False

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> WatchOptions:
        for name in ("episodes", "num") if self.ablate is None else ():
            if (value := getattr(self, name)) is not None:
                raise ValueError(
                    f"{name}={value} is not read without ablate=PART: one episode is watched"
                )
        return self


def evaluate_run(path: Path, words: Sequence[str], *, as_json: bool) -> None:
    """Play fresh episodes with the agent of a run; or score new sequences, if ``fit`` made it."""
    directory = RunDirectory.open(path)
    if command_of(read_plain(directory)) == "fit":
        evaluate_fit(directory, words, as_json=as_json)
        return
    options = parse(EvaluateOptions, words)
    config, agent = recall(path, options)
    result = play(config, agent, options)
    if as_json:
        print(json.dumps(plain(result)))
    else:
        print(evaluation_line(result))


def watch_run(path: Path, words: Sequence[str]) -> None:
    """Record one episode, draw it, and say what an ablation changes."""
    options = parse(WatchOptions, words)
    film, picture = files_of_watch(path, options)
    config, agent = recall(path, options)
    if options.ablate is not None:
        compare_ablation(config, agent, options)
    env = make_env(config, num=1)
    steps = film_steps(options.max_steps or config.evaluate.max_steps)
    how = acting(config, options, "watch", max_steps=steps)
    try:
        recording = record_episode(agent, env, how, view=draw_view)
    finally:
        env.close()
    title, space = picture_title(config, ablate=options.ablate), env.observation_space
    drawn = []
    if film is not None:
        draw_film(config, recording, space, film, title=title)
        drawn.append(str(film))
    if recording.memory or film is None:
        draw_episode_memory(config, recording, space, picture, title=title)
        drawn.append(str(picture))
    outcome = {True: "a success", False: "a failure", None: "over"}[recording.success]
    ending = outcome if recording.ended else "cut off"
    print(f"{recording.length} steps, {ending}: {' and '.join(drawn)}")
    if options.window and film is not None:
        from memrl.cli.window import show

        show(film)


def files_of_watch(run: Path, options: WatchOptions) -> tuple[Path | None, Path]:
    """The GIF of an episode, or None where a PNG is all that is asked for; and the PNG.

    Raises:
        ValueError: the suffix is that of neither, or a window shall show the GIF that is not made.
    """
    name = f"watch-without-{options.ablate}.gif" if options.ablate else "watch.gif"
    out = run / name
    if options.out is not None:
        out = file_to_write("out", options.out, suffixes=(".gif", ".png"), name=name)
    if out.suffix.lower() == ".gif":
        return out, out.with_suffix(".png")
    if options.window:
        raise ValueError(f"window=true shows the GIF: out={out} asks for the PNG only")
    return None, out


def compare_ablation(config: Config, agent: Agent, options: EvaluateOptions) -> None:
    """Print success (or return) with and without a part of the memory, on the same episodes."""
    without = play(config, agent, options)  # first: a part that the memory lacks is told at once
    whole = play(config, agent, options.model_copy(update={"ablate": None}))
    word = "success" if whole.success is not None else "return"
    before = whole.success or whole.return_
    after = without.success or without.return_
    change = after.mean - before.mean
    print(f"{word} {before} with its memory, {after} without {options.ablate}: {change:+.3g}")


def recall(path: Path, options: RecallOptions) -> tuple[Config, Agent]:
    """The config and the agent of a run.

    Raises:
        ValueError: other levels are asked for of a task that has no level bank.
    """
    config = read_config(RunDirectory.open(path), device=options.device)
    prepare(config)
    if options.bank is not None:
        if "bank" not in (config.env.model_extra or {}):
            raise ValueError(f"bank={options.bank}: {config.env.id} draws from no level bank")
        env = config.env.model_copy(update={"bank": options.bank})
        config = config.model_copy(update={"env": env})
    slots = options.memory.slots
    return config, load(path, options.checkpoint, device=options.device, slots=slots)


def acting(
    config: Config, options: RecallOptions, purpose: Literal["watch", "inspect"], *, max_steps: int
) -> Acting:
    """How an agent acts: as the run is configured, unless ``options`` say otherwise."""
    return Acting(
        seed_for(config.seed, purpose) if options.seed is None else options.seed,
        greedy=config.evaluate.greedy if options.greedy is None else options.greedy,
        ablate=options.ablate,
        max_steps=max_steps,
    )


def play(config: Config, agent: Agent, options: EvaluateOptions) -> Evaluation:
    """Evaluate as the run is configured, unless ``options`` say otherwise."""
    return evaluate_agent(
        config,
        agent,
        episodes=options.episodes,
        num=options.num,
        seed=options.seed,
        greedy=options.greedy,
        ablate=options.ablate,
        max_steps=options.max_steps,
    )


def plain(result: Evaluation) -> dict[str, Any]:
    """What scripts read: means, and the number of episodes; of several tasks those of each."""
    means = {
        "success": None if result.success is None else result.success.mean,
        "return": result.return_.mean,
        "length": result.length.mean,
        "episodes": result.episodes,
    }
    return means | ({"tasks": result.tasks_as_dict()} if result.tasks else {})
