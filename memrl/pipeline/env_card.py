"""Information about a config's environment: its card, reference levels, pictures."""

from __future__ import annotations

from typing import Any

import torch

from memrl.config.models import Config
from memrl.envs.catalogue import EnvCard
from memrl.envs.make import card
from memrl.envs.minigrid.render import render_view
from memrl.nn.observation import GRID_SIDE
from memrl.rollout.env import Obs


def card_of(config: Config) -> EnvCard:
    """The card of a config's environment; of several tasks that of the first, without levels."""
    task = config.env.each()[0]
    options = task.model_extra or {}
    shown = {"prev_action": task.prev_action, "trial": task.trial}
    found = card(task.id, family=task.family, **shown, **options)
    if config.env.tasks:
        return found._replace(memory=None, levels=None)
    if task.prev_reward and found.levels is not None and found.levels.score == "return":
        # The previous reward carries information, so the levels without a memory do not apply.
        return found._replace(levels=found.levels._replace(memoryless=None, timed=None))
    return found


def references(config: Config, *, success: bool) -> dict[str, float]:
    """Reference levels for a curve of success, or else of returns; empty if there are none."""
    levels = card_of(config).levels
    comparable = levels is not None and (levels.score == "success") == success
    return levels.lines() if levels and comparable else {}


def draw_view(obs: Obs) -> Any:
    """The view of environment 0 if it is an image, or a grid of symbols (then drawn); else None."""
    image = obs.get("image")
    if image is None or image.dtype != torch.uint8 or image.dim() != 4 or image.shape[3] != 3:
        return None
    if max(image.shape[1:3]) >= GRID_SIDE:
        return image[0].cpu().numpy()
    return render_view(image[0])
