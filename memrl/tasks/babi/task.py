"""Question answering: hear a story, sentence by sentence, then a question; answer it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, final

import torch
from annotated_types import Ge, Le
from pydantic import Field
from torch import Tensor, nn

from memrl.memory import MemN2N
from memrl.memory.core import MemoryCore
from memrl.tasks.babi.answers import answer_head
from memrl.tasks.babi.encoding import Stories, Vocabulary, encode, last_step, with_nil_facts
from memrl.tasks.babi.reader import files, read
from memrl.tasks.babi.sentences import Reading, sentence_reader
from memrl.tasks.task import REGISTRY, Batch, Task, opening


@final
@REGISTRY.register("babi")
class Babi(Task):
    """One of the 20 bAbI tasks, from files: a step is a sentence, the last one the question.

    A story is cut to its last ``facts`` statements; statements of a padded batch lie before the
    padding, and the only step that is scored is the question. The vocabulary is that of both files,
    so that every answer of the test has a class. Training goes through the file again and again,
    each time in a new order.

    Args:
        folder: holds ``qaN_*_train.txt`` and ``qaN_*_test.txt`` (the published set), or
            ``train/qaNN.txt`` and ``test/qaNN.txt``.
        number: of the task, 1 to 20.
        facts: statements that are kept of a story.
        nil: after each statement an empty one with this probability, in training (MemN2N: 0.1).
        reading: how words become features; "bag" for memories that embed by themselves
            (``memory.position=true``), "position" for embeddings weighed by place (MemN2N, DMN+),
            "mask" for embeddings under learned weights (EntNet).
        embed_dim: width of the embeddings, where there are any.
        linear_start: epochs in which a memory that can do without its softmax does (MemN2N: 20).

    Raises:
        ValueError: there is no such folder or file, or a line in it is malformed.
    """

    kind = "classes"
    paper = "Weston et al. 2015, Towards AI-Complete Question Answering"

    def __init__(
        self,
        *,
        folder: Annotated[Path, Field(strict=False)],
        number: Annotated[int, Ge(1), Le(20)] = 1,
        facts: Annotated[int, Ge(1)] = 50,
        nil: Annotated[float, Ge(0), Le(1)] = 0.1,
        reading: Reading = "position",
        embed_dim: Annotated[int, Ge(1)] = 20,
        linear_start: Annotated[int, Ge(0)] = 20,
    ) -> None:
        train, test = (read(path) for path in files(folder, number))
        self.vocabulary = Vocabulary([*train, *test])
        self.train, self.test = (encode(part, self.vocabulary, facts) for part in (train, test))
        self.nil, self.reading, self.embed_dim = nil, reading, embed_dim
        self.linear_start = linear_start * len(self.train.answer)  # sequences
        words = len(self.vocabulary.words)
        super().__init__(
            in_dim=2 * words if reading == "bag" else embed_dim,
            out_dim=len(self.vocabulary.answers),
            min_length=facts,
            max_length=facts,
        )
        # What answering every question with the commonest answer of the training part would get.
        commonest = self.train.answer.mode().values
        self.chance = float((self.test.answer == commonest).float().mean())
        self._order = torch.empty(0, dtype=torch.long)  # of this epoch; what is left of it

    def encoder(self) -> nn.Module:
        words, longest = len(self.vocabulary.words), self.vocabulary.sentence_len
        return sentence_reader(self.reading, words, longest, self.embed_dim)

    def head(self, core: MemoryCore[Any]) -> nn.Module:
        return answer_head(core, self.vocabulary, self.reading)

    def prepare(self, core: MemoryCore[Any], sequences: int) -> None:
        if isinstance(core, MemN2N):
            core.linear = sequences < self.linear_start

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        while len(self._order) < batch:
            again = torch.randperm(len(self.train.answer), generator=generator)
            self._order = torch.cat([self._order, again])
        rows, self._order = self._order[:batch], self._order[batch:]
        return as_batch(with_nil_facts(self.train.rows(rows), self.nil, generator))

    def exam(self, batch: int) -> Iterator[Batch]:
        asked = len(self.test.answer)
        for first in range(0, asked, batch):
            yield as_batch(self.test.rows(torch.arange(first, min(first + batch, asked))))

    def state_dict(self) -> dict[str, Any]:
        return {"order": self._order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._order = state["order"]


def as_batch(stories: Stories) -> Batch:
    """The steps of some stories, their questions scored."""
    steps, rows = stories.words.shape[:2]
    asks = last_step(stories.length, steps)
    x: Tensor = torch.cat([stories.words, asks.long().unsqueeze(-1)], dim=-1)
    target = torch.where(asks, stories.answer, 0)
    return Batch(x, target, asks, opening(steps, rows))
