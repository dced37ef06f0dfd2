"""A GIF in a window of its own, played in a loop until it is closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot
from matplotlib.animation import ArtistAnimation
from PIL import Image, ImageSequence


def show(gif: Path) -> None:
    """Play a GIF on the screen; returns when the window is closed.

    Raises:
        ValueError: matplotlib finds no screen, or no toolkit to draw on it.
    """
    try:
        pyplot.switch_backend("TkAgg")
    except ImportError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no window can be opened here ({reason}); the GIF is {gif}") from None
    with Image.open(gif) as image:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    height, width = frames[0].shape[:2]
    figure = pyplot.figure(gif.name, figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    film = ArtistAnimation(figure, [[axes.imshow(frame)] for frame in frames], interval=250)
    pyplot.show()
    del film  # an animation that is collected stops
