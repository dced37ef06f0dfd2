"""The evaluation of a run: new episodes in its environments, as its config says."""

from __future__ import annotations

from contextlib import closing

from memrl.config.models import Config
from memrl.evaluation.evaluate import Evaluation, evaluate
from memrl.pipeline.build import make_env
from memrl.pipeline.setup import seed_for
from memrl.run.agent import Agent


def evaluate_agent(
    config: Config,
    agent: Agent,
    *,
    episodes: int | None = None,
    num: int | None = None,
    seed: int | None = None,
    greedy: bool | None = None,
    ablate: str | None = None,
    max_steps: int | None = None,
) -> Evaluation:
    """Play new episodes in the environments of a config; None is what the config says.

    Args:
        config: of the environments.
        agent: that acts.
        episodes: how many; of several tasks each has its share.
        num: environments.
        seed: of the environments and of acting; by default one that training does not use.
        greedy: take the likeliest action.
        ablate: a part of the memory to silence.
        max_steps: env steps after which an episode is cut off.

    Raises:
        ValueError: there are fewer episodes or environments than tasks, or the memory has no such
            part to ablate.
    """
    how, tasks = config.evaluate, len(config.env.each())
    episodes, num = episodes or how.episodes, num or config.env.num
    for name, value in (("episodes", episodes), ("num", num)):
        if value < tasks:
            raise ValueError(
                f"{name}={value} leaves a task out, allowed: at least {tasks}, one for each"
            )
    with closing(make_env(config, num=min(num, episodes))) as env:
        return evaluate(
            agent,
            env,
            episodes,
            seed_for(config.seed, "evaluate") if seed is None else seed,
            greedy=how.greedy if greedy is None else greedy,
            ablate=ablate,
            max_steps=max_steps or how.max_steps,
        )
