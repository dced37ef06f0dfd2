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
    """How one text of an observation is read."""

    symbols: tuple[str, ...]  # of the numbers 0 (none) …
    length: int  # of the longest text, in symbols
    by_word: bool  # or letter by letter

    @property
    def space(self) -> Tokens:
        """Where the numbers lie."""
        return Tokens(len(self.symbols), self.length)

    def read(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The numbers of a text's symbols, zeros behind: int64 [L].

        Raises:
            ValueError: an unknown symbol, or more of them than the length.
        """
        if self.by_word:
            return np.array(encode_one(text, self.length, self.symbols))
        if len(text) > self.length:
            raise ValueError(f"{text!r} has {len(text)} letters; at most {self.length} fit")
        for letter in text:
            if letter not in self.symbols:
                raise ValueError(f"the letter {letter!r} of {text!r} is not in its space")
        found = [self.symbols.index(letter) for letter in text]
        return np.array(found + [0] * (self.length - len(text)), dtype=np.int64)


def tokenized(space: Space, key: str = "") -> tuple[Space, dict[str, Tokenizer]]:
    """An observation space with tokens in place of text, and the tokenizers by dotted key.

    A sentence that is the same in every episode is left as it is (and dropped with all text that
    has no tokens): it tells an agent nothing.
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
    """Who reads texts of a space; None where it holds no text, or always the same."""
    if isinstance(space, spaces.Text):
        return Tokenizer(("", *sorted(space.character_set)), space.max_length, by_word=False)
    sentence = getattr(space, "mission_func", None)  # of MiniGrid's MissionSpace, not imported here
    if sentence is None:
        return None
    places = getattr(space, "ordered_placeholders", None)
    if places:
        return _grammar(sentence, places) if any(len(words) > 1 for words in places) else None
    # BabyAI's admits every sentence and says nothing of its grammar.
    return Tokenizer(VOCABULARY, LONGEST_BABYAI, by_word=True) if space.contains("any") else None


def _grammar(sentence: Any, places: list[list[str]]) -> Tokenizer:
    """All that a sentence with places can say: words beyond the vocabulary come behind it."""
    longest = [max(words, key=lambda words: len(split(words))) for words in places]
    said = split(sentence(*longest))
    said += [word for place in places for words in place for word in split(words)]
    new = sorted(set(said).difference(VOCABULARY))
    return Tokenizer((*VOCABULARY, *new), len(split(sentence(*longest))), by_word=True)
