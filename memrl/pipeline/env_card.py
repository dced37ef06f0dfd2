"""What is known of the environment of a config: its card, reference levels, pictures."""

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
    """What is known of the task of a config."""
    task = config.env
    options = task.model_extra or {}
    known = card(task.id, family=task.family, prev_action=task.prev_action, **options)
    if task.prev_reward and known.levels is not None and known.levels.score == "return":
        # Where steps pay, what the last one paid tells how to go on.
        return known._replace(levels=known.levels._replace(memoryless=None))
    return known


def references(config: Config, *, success: bool) -> dict[str, float]:
    """Levels to hold a curve of success, or else of returns, against; empty if none is known."""
    levels = card_of(config).levels
    comparable = levels is not None and (levels.score == "success") == success
    return levels.lines() if levels and comparable else {}


def draw_view(obs: Obs) -> Any:
    """What copy 0 sees, where that is a picture or a grid of symbols (then drawn); else None."""
    image = obs.get("image")
    if image is None or image.dtype != torch.uint8 or image.dim() != 4 or image.shape[3] != 3:
        return None
    if max(image.shape[1:3]) >= GRID_SIDE:
        return image[0].cpu().numpy()
    return render_view(image[0])
