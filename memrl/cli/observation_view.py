"""An agent's observation for a person at a terminal: tiles, pictures in half blocks, numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from memrl.envs.catalogue import EnvCard
from memrl.envs.description import entry_text
from memrl.nn.observation import GRID_SIDE
from memrl.rollout.env import Obs

_WIDEST: Final = 64  # characters of a picture; larger ones are shrunk

# MiniGrid's codes, by number: objects as two characters, colours as a terminal has them.
_OBJECTS: Final = ("  ", "· ", "██", "▒▒", "▯ ", "⚷ ", "● ", "■ ", "▓▓", "≈≈", "▲ ")
_COLOURS: Final = ("red", "green", "blue", "magenta", "yellow", "bright_black")
_WALL, _DOOR, _GOAL, _LAVA = 2, 4, 8, 9
_DOORS: Final = ("▯ ", "▮ ", "▣ ")  # open, closed, locked


def draw_observation(obs: Obs, space: spaces.Dict, card: EnvCard) -> RenderableType:
    """Every entry of environment 0's observation, and nothing else."""
    shown = {key: obs[key][0].cpu().numpy() for key in space}
    parts: list[RenderableType] = []
    for key, value in shown.items():
        if str(space[key].dtype) == "uint8" and value.ndim == 3 and value.shape[2] == 3:
            small = max(value.shape[:2]) < GRID_SIDE
            parts.append(tiles(value) if small else half_blocks(value))
        else:
            said = entry_text(key, shown, space, card)
            parts.append(Text.assemble((f"{key} ", "dim"), said))
    return Group(*parts)


def tiles(image: NDArray[np.uint8]) -> Text:
    """A view in MiniGrid's codes [V, V, 3], column first; the agent stands at the bottom.

    The agent's own cell is drawn as ▲, and what it carries beside it.
    """
    width, height = image.shape[:2]
    text = Text()
    for y in range(height):
        for x in range(width):
            here = (x, y) == (width // 2, height - 1)
            glyph, style = _tile(*(int(code) for code in image[x, y]))
            text.append("▲" + (glyph[0] if glyph != _OBJECTS[1] else " ") if here else glyph, style)
        text.append("\n")
    return text


def _tile(kind: int, colour: int, state: int) -> tuple[str, str]:
    """Two characters and their style."""
    if kind >= len(_OBJECTS) or colour >= len(_COLOURS):
        return "? ", "dim"
    if kind == _DOOR:
        return _DOORS[min(state, 2)], f"bold {_COLOURS[colour]}"
    if kind in (1, _WALL):
        return _OBJECTS[kind], "bright_black"
    if kind == _LAVA:
        return _OBJECTS[kind], "bright_red"
    return _OBJECTS[kind], f"bold {_COLOURS[colour]}"


def half_blocks(image: NDArray[np.uint8]) -> Text:
    """A picture [H, W, 3], two pixels a character; large ones are averaged down."""
    factor = -(-max(image.shape[:2]) // _WIDEST)
    height, width = (side // factor * factor for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    small = blocks.mean(axis=(1, 3)).round().astype(int)
    if len(small) % 2:
        small = np.concatenate([small, np.zeros_like(small[:1])])
    text = Text()
    for above, below in zip(small[::2], small[1::2], strict=True):
        for top, bottom in zip(above.tolist(), below.tolist(), strict=True):
            text.append("▀", f"rgb({_rgb(top)}) on rgb({_rgb(bottom)})")
        text.append("\n")
    return text


def _rgb(pixel: list[int]) -> str:
    return ",".join(map(str, pixel))
