"""memrl evaluate, watch and compare: looking at runs that were trained before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from rich.console import Console

from memrl.cli.arguments import parse
from memrl.config.models import Config, LaxPath, Strict
from memrl.evaluation.compare import comparison_table, group_runs, read_run
from memrl.evaluation.evaluate import Evaluation, evaluate
from memrl.evaluation.recording import record_episode
from memrl.evaluation.run_labels import variants
from memrl.pipeline.build import make_env
from memrl.pipeline.env_card import draw_view, references
from memrl.pipeline.loading import read_config
from memrl.pipeline.report import described, film, titled
from memrl.pipeline.setup import prepare, seed_for
from memrl.pipeline.trained import load
from memrl.plots.comparison import draw_comparison
from memrl.plots.memory import draw_memory
from memrl.run.agent import Agent
from memrl.run.directory import RunDirectory


class EvaluateOptions(Strict):
    """Keys of ``memrl evaluate``; None is what the run was configured with."""

    episodes: Annotated[int, Ge(1)] | None = None
    checkpoint: Literal["last", "best"] = "last"
    greedy: bool | None = None
    ablate: Literal["reads", "state"] | None = None
    seed: Annotated[int, Ge(0), Lt(2**32)] | None = None
    device: str | None = None
    num: Annotated[int, Ge(1)] | None = None
    bank: Annotated[int, Ge(0)] | None = None


class WatchOptions(EvaluateOptions):
    """Keys of ``memrl watch``; ``episodes`` are those of each evaluation around an ablation."""

    out: LaxPath | None = None
    window: bool = False


class CompareOptions(Strict):
    """Keys of ``memrl compare``."""

    out: LaxPath = Path("compare.png")


def evaluate_run(path: Path, words: Sequence[str], *, as_json: bool) -> None:
    """Play fresh episodes with the agent of a run."""
    options = parse(EvaluateOptions, words)
    config, agent = recall(path, options)
    result = play(config, agent, options)
    if as_json:
        print(json.dumps(plain(result)))
    else:
        print(described(result))


def watch_run(path: Path, words: Sequence[str]) -> None:
    """Record one episode, draw it, and say what an ablation changes."""
    options = parse(WatchOptions, words)
    config, agent = recall(path, options)
    if options.ablate is not None:
        compare_ablation(config, agent, options)
    suffix = f"-without-{options.ablate}" if options.ablate else ""
    out = options.out or path / f"watch{suffix}.gif"
    env = make_env(config, num=1)
    seed = options.seed if options.seed is not None else seed_for(config.seed, "watch")
    greedy = config.evaluate.greedy if options.greedy is None else options.greedy
    try:
        recording = record_episode(
            agent, env, seed=seed, greedy=greedy, ablate=options.ablate, view=draw_view
        )
    finally:
        env.close()
    title, drawn = titled(config, ablate=options.ablate), str(out)
    film(config, recording, env.observation_space, out, title=title)
    if recording.memory:
        draw_memory(recording, out.with_suffix(".png"), title=title)
        drawn += f" and {out.with_suffix('.png')}"
    outcome = {True: "a success", False: "a failure", None: "over"}[recording.success]
    print(f"{recording.length} steps, {outcome}: {drawn}")
    if options.window:
        from memrl.cli.window import show

        show(out)


def compare_ablation(config: Config, agent: Agent, options: EvaluateOptions) -> None:
    """Print success (or return) with and without a part of the memory, on the same episodes."""
    whole = play(config, agent, options.model_copy(update={"ablate": None}))
    without = play(config, agent, options)
    word = "success" if whole.success is not None else "return"
    before = whole.success or whole.return_
    after = without.success or without.return_
    change = after.mean - before.mean
    print(f"{word} {before} with its memory, {after} without {options.ablate}: {change:+.3g}")


def compare_runs(words: Sequence[str]) -> None:
    """Draw the curves of several runs and print their table.

    A word with ``=`` is an option, unless it is a folder, as those of a sweep may be called.
    """
    given = {word: "=" in word and not Path(word).exists() for word in words}
    options = parse(CompareOptions, [word for word, is_option in given.items() if is_option])
    runs = [RunDirectory.open(Path(word)) for word, is_option in given.items() if not is_option]
    if not runs:
        raise ValueError("compare asks for at least one run directory")
    configs = [read_config(run) for run in runs]
    names = variants([config.model_dump(mode="json") for config in configs])
    compared = [read_run(run)._replace(memory=name) for run, name in zip(runs, names, strict=True)]
    groups = group_runs(compared)
    tasks = [
        references(config, success=run.curve.is_success)
        for config, run in zip(configs, compared, strict=True)
    ]
    levels = shared_levels([run.env for run in compared], tasks)
    draw_comparison(groups, options.out, references=levels)
    Console().print(comparison_table(groups))
    print(options.out)


def shared_levels(
    envs: Sequence[str], tasks: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """For each environment the levels that all its runs have: options of a task change them."""
    shared: dict[str, dict[str, float]] = {}
    for env, levels in zip(envs, tasks, strict=True):
        so_far = shared.get(env, levels)
        shared[env] = {name: level for name, level in levels.items() if so_far.get(name) == level}
    return shared


def recall(path: Path, options: EvaluateOptions) -> tuple[Config, Agent]:
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
    return config, load(path, options.checkpoint, device=options.device)


def play(config: Config, agent: Agent, options: EvaluateOptions) -> Evaluation:
    """Evaluate as the run is configured, unless ``options`` say otherwise."""
    episodes = options.episodes or config.evaluate.episodes
    greedy = config.evaluate.greedy if options.greedy is None else options.greedy
    seed = options.seed if options.seed is not None else seed_for(config.seed, "evaluate")
    env = make_env(config, num=min(options.num or config.env.num, episodes))
    try:
        return evaluate(agent, env, episodes, seed, greedy=greedy, ablate=options.ablate)
    finally:
        env.close()


def plain(result: Evaluation) -> dict[str, float | int | None]:
    """What scripts read: means, and the number of episodes."""
    return {
        "success": None if result.success is None else result.success.mean,
        "return": result.return_.mean,
        "length": result.length.mean,
        "episodes": result.episodes,
    }
