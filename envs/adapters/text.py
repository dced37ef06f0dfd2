"""Text in observations as tokens: missions of MiniGrid and BabyAI by word, other text by letter."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, final

import numpy as np
from gymnasium import spaces

from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY, encode_one, split
from memrl.rollout.tokens import Tokens

Space: TypeAlias = spaces.Space[Any]


@final
class Tokenizer(NamedTuple):
    """Converts one text entry of an observation to tokens."""

    symbols: tuple[str, ...]  # by index; 0 is padding
    length: int  # symbols of the longest text
    by_word: bool  # symbols are words; otherwise letters

    @property
    def space(self) -> Tokens:
        """The space of the tokens."""
        return Tokens(len(self.symbols), self.length)

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The indices of a text's symbols, padded with zeros: int64 [L].

        Raises:
            ValueError: an unknown symbol, or the text is longer than ``length``.
        """
        if self.by_word:
            return np.array(encode_one(text, self.length, self.symbols))
        if len(text) > self.length:
            raise ValueError(f"{text!r} has {len(text)} letters, allowed: at most {self.length}")
        for letter in text:
            if letter not in self.symbols:
                raise ValueError(
                    f"{text!r} has the letter {letter!r}, allowed: {''.join(self.symbols)}"
                )
        found = [self.symbols.index(letter) for letter in text]
        return np.array(found + [0] * (self.length - len(text)), dtype=np.int64)


def tokenized(space: Space, key: str = "") -> tuple[Space, dict[str, Tokenizer]]:
    """An observation space with tokens instead of text, and the tokenizers by dotted key.

    A mission that is the same in every episode keeps its space and is dropped later, like all text
    without a tokenizer: it holds no information for the agent.
    """
    if isinstance(space, spaces.Dict):
        parts: dict[str, Space] = {}
        tokenizers: dict[str, Tokenizer] = {}
        for name, part in space.items():
            parts[name], inner = tokenized(part, f"{key}.{name}" if key else str(name))
            tokenizers |= inner
        return spaces.Dict(parts), tokenizers
    tokenizer = tokenizer_of(space)
    return (space, {}) if tokenizer is None else (tokenizer.space, {key or "obs": tokenizer})


def tokenizer_of(space: Space) -> Tokenizer | None:
    """The tokenizer of a space; None if it holds no text, or the same text in every episode."""
    if isinstance(space, spaces.Text):
        return Tokenizer(("", *sorted(space.character_set)), space.max_length, by_word=False)
    # Attributes of MiniGrid's MissionSpace, which is not imported here.
    mission_func = getattr(space, "mission_func", None)
    if mission_func is None:
        return None
    slots = getattr(space, "ordered_placeholders", None)
    if slots:
        return _from_template(mission_func, slots) if any(len(each) > 1 for each in slots) else None
    # BabyAI's space contains every sentence and does not define a grammar.
    return Tokenizer(VOCABULARY, LONGEST_BABYAI, by_word=True) if space.contains("any") else None


def _from_template(mission_func: Any, slots: list[list[str]]) -> Tokenizer:
    """A tokenizer of all missions of a template; it appends new words to the vocabulary."""
    longest = mission_func(*(max(each, key=lambda text: len(split(text))) for each in slots))
    words = split(longest)
    words += [word for each in slots for text in each for word in split(text)]
    new = sorted(set(words).difference(VOCABULARY))
    return Tokenizer((*VOCABULARY, *new), len(split(longest)), by_word=True)
