"""A look at the figure of a film as each of its frames is drawn."""

from __future__ import annotations

from memrl.plots import episode
from memrl.plots.gif import encode_gif
from memrl.plots.stage import Stage
from memrl.plots.words import Words


def note_frames(monkeypatch, look):
    """A list that gets ``look(figure)`` at every frame of the films that are drawn from now on."""
    seen, figures = [], []

    def stage(figure, changing):
        figures.append(figure)
        return Stage(figure, changing)

    def encode(pictures, palette, durations):
        def noted():
            for picture in pictures:
                seen.append(look(figures[-1]))
                yield picture

        return encode_gif(noted(), palette, durations)

    monkeypatch.setattr(episode, "Stage", stage)
    monkeypatch.setattr(episode, "encode_gif", encode)
    return seen


def words_in(part):
    """The changing texts of a figure or of axes."""
    return [artist.text for artist in part.artists if isinstance(artist, Words)]


def title_of(axes):
    """The title on the left, also where it changes."""
    return axes.get_title(loc="left") or words_in(axes)[0]
