"""Stories as tensors: a vocabulary, and word indices [T, B, J], padded with 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from memrl.tasks.babi.reader import Question, Sentence

NIL = 0  # padding: no word


@final
class Vocabulary:
    """The words and answers of some questions, each in alphabetical order.

    Word indices start at 1. An answer of several words, as in lists, is one class.
    """

    def __init__(self, questions: Iterable[Question]) -> None:
        questions = list(questions)
        words = {word for q in questions for sentence in (*q.facts, q.words) for word in sentence}
        self.words = sorted(words)
        self.answers = sorted({q.answer for q in questions})
        self.word_index = {word: index for index, word in enumerate(self.words, start=1)}
        self.answer_index = {answer: index for index, answer in enumerate(self.answers)}
        self.sentence_len = max(
            len(sentence) for q in questions for sentence in (*q.facts, q.words)
        )

    def encode(self, sentence: Sentence) -> list[int]:
        """Indices of the words, padded with ``NIL``: [J].

        Raises:
            ValueError: a word is unknown, or the sentence is too long.
        """
        unknown = [word for word in sentence if word not in self.word_index]
        if unknown or len(sentence) > self.sentence_len:
            what = f"{unknown[0]!r}" if unknown else f"a sentence of {len(sentence)} words"
            raise ValueError(
                f"{what} is not in the vocabulary ({len(self.words)} words, at most "
                f"{self.sentence_len} in a sentence)"
            )
        indices = [self.word_index[word] for word in sentence]
        return indices + [NIL] * (self.sentence_len - len(indices))


class Stories(NamedTuple):
    """Sequences of facts that end with a question; short ones are padded at the end."""

    words: Tensor  # [T, Q, J]  indices of words; 0 is padding
    length: Tensor  # [Q]  steps, the question included
    answer: Tensor  # [Q]  indices of answers
    support: Tensor  # [T, Q]  True at the supporting facts

    def rows(self, rows: Tensor) -> Stories:
        """A subset of the questions, padded to the longest of them."""
        length = self.length[rows]
        steps = int(length.max())
        return Stories(
            self.words[:steps, rows], length, self.answer[rows], self.support[:steps, rows]
        )


def encode(questions: Sequence[Question], vocabulary: Vocabulary, limit: int) -> Stories:
    """Questions as tensors; only the last ``limit`` facts of a story are used."""
    stories = [q.facts[-limit:] for q in questions]
    longest = max(len(facts) for facts in stories) + 1
    indices = torch.zeros(len(questions), longest, vocabulary.sentence_len, dtype=torch.long)
    support = torch.zeros(longest, len(questions), dtype=torch.bool)
    for row, (q, facts) in enumerate(zip(questions, stories, strict=True)):
        sentences = [vocabulary.encode(sentence) for sentence in (*facts, q.words)]
        indices[row, : len(sentences)] = torch.tensor(sentences)
        cut = len(q.facts) - len(facts)
        support[[index - cut for index in q.support if index >= cut], row] = True
    return Stories(
        words=indices.transpose(0, 1).contiguous(),
        length=torch.tensor([len(facts) + 1 for facts in stories]),
        answer=torch.tensor([vocabulary.answer_index[q.answer] for q in questions]),
        support=support,
    )


def with_nil_facts(stories: Stories, share: float, generator: torch.Generator) -> Stories:
    """Insert empty sentences between the facts, so that a model cannot memorise a fact's age.

    After each fact an empty sentence is inserted with probability ``share`` (MemN2N, "random
    noise": 0.1). Stories grow by different numbers of steps and are padded to the longest.
    """
    steps, rows = stories.words.shape[:2]
    step = torch.arange(steps).unsqueeze(1)  # [T, 1]
    fact = step < stories.length - 1
    added = (torch.rand(steps, rows, generator=generator) < share) & fact
    # One step later for each empty sentence before it: [T, Q].
    goes_to = step + added.cumsum(0) - added.long()
    longer = stories.length + added.sum(0)
    size = int(goes_to.max()) + 1
    column = torch.arange(rows).expand(steps, rows)
    words = stories.words.new_zeros(size, *stories.words.shape[1:])
    words[goes_to, column] = stories.words
    support = stories.support.new_zeros(size, rows)
    support[goes_to, column] = stories.support
    keep = int(longer.max())
    return stories._replace(words=words[:keep], length=longer, support=support[:keep])


def last_step(length: Int[Tensor, " Q"], steps: int) -> Bool[Tensor, "T Q"]:
    """True at the last step of each row, the question."""
    return torch.arange(steps, device=length.device).unsqueeze(1) == length - 1
