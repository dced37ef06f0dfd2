"""Episodes of a trained run for ``memrl inspect``, with the names that its task knows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from math import prod
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memrl.agents.ppo.agent import PPO
from memrl.config.models import Config
from memrl.envs.catalogue import EnvCard
from memrl.envs.description import action_text, entry_text
from memrl.errors import RunError
from memrl.evaluation.acting import Acting
from memrl.inspector.model import RunPage
from memrl.inspector.panels import choose_panels
from memrl.inspector.record import Row, record_episodes
from memrl.pipeline.build import make_env
from memrl.pipeline.env_card import card_of, draw_view
from memrl.pipeline.report import picture_title
from memrl.rollout.tokens import Tokens
from memrl.run.agent import Agent

ACTION: Final = "action"
SOURCE_STEPS: Final = 200  # in episodes of which it is worked out where reads come from
_TOLD_TWICE: Final = ("prev_action", "prev_reward")


def inspect_run(
    config: Config,
    agent: Agent,
    acting: Acting,
    *,
    episodes: int,
    source_steps: int = SOURCE_STEPS,
    facts: Mapping[str, str] | None = None,
) -> RunPage:
    """Record fresh episodes of a run's agent, all at once, as one run of a page.

    Args:
        config: of the run.
        agent: as it was trained.
        acting: how, and for how long.
        episodes: how many.
        source_steps: see ``record_episodes``.
        facts: shown beside the run.

    Raises:
        RunError: the agent shows nothing of its memory.
    """
    card = card_of(config)
    with closing(make_env(config, num=episodes)) as env:
        space = env.observation_space
        numbers = [key for key, part in space.items() if _is_numbers(key, part)]
        words = [key for key, part in space.items() if _is_words(key, part)]

        def tell(obs: Row, action: NDArray[Any]) -> dict[str, str]:
            said = {key: entry_text(key, obs, space, card) for key in words}
            return {**said, ACTION: action_text(action, card)}

        recorded = record_episodes(
            agent,
            env,
            acting,
            view=draw_view,
            tell=tell,
            numbers=numbers,
            bonus=agent.bonus_for(env) if isinstance(agent, PPO) else None,
            gamma=float(getattr(config.agent, "gamma", 1.0)),
            source_steps=source_steps,
        )
        if not agent.memory():
            name = config.learner_name
            raise RunError(f"{name} shows no diagnostics: there is no memory to inspect")
    names = action_names(card, env.action_space)
    return RunPage(
        title=picture_title(config, ablate=acting.ablate),
        facts={**(facts or {}), "env steps": f"{agent.env_steps:,}"},
        episodes=recorded.episodes,
        panels=choose_panels(recorded.episodes, actions=names, seen=numbers),
        sheets=recorded.sheets,
        env_steps=agent.env_steps,
    )


def action_names(card: EnvCard, space: spaces.Space[Any]) -> list[str]:
    """The names of discrete actions; empty for others."""
    if not isinstance(space, spaces.Discrete):
        return []
    return [action_text(np.int64(action), card) for action in range(int(space.n))]


def _is_words(key: str, part: spaces.Space[Any]) -> bool:
    told = isinstance(part, spaces.Discrete | Tokens) or prod(part.shape or ()) == 1
    return told and key not in _TOLD_TWICE


def _is_numbers(key: str, part: spaces.Space[Any]) -> bool:
    several = len(part.shape or ()) in (1, 2) and prod(part.shape or ()) > 1
    return several and not isinstance(part, Tokens) and key not in _TOLD_TWICE
