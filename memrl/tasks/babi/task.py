"""bAbI question answering: read a story sentence by sentence, then answer a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, final

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
from memrl.tasks.task import REGISTRY, Batch, Task, starts_at_first_step

# Defaults; other values are refused where nothing reads them.
EMBED_DIM: Final = 64
LINEAR_START: Final = 20


@final
@REGISTRY.register("babi")
class Babi(Task):
    """One of the 20 bAbI tasks, from files: a step is a sentence, the last one the question.

    Only the last ``facts`` statements of a story are used. Short stories are padded at the end.
    Only the question is scored. The vocabulary includes both files, so that every test answer has a
    class. Training runs through epochs of the training file, each in a new order.

    Args:
        folder: contains ``qaN_*_train.txt`` and ``qaN_*_test.txt`` (the published set), or
            ``train/qaNN.txt`` and ``test/qaNN.txt``.
        number: of the task, 1 to 20.
        facts: largest number of statements in a story; earlier ones are dropped.
        nil: probability of an empty sentence after each statement, in training (MemN2N: 0.1).
        reading: how words become features: "bag" for memories with their own embedding
            (``memory.position=true``), "position" for embeddings weighted by position (MemN2N,
            DMN+), "mask" for embeddings with learned weights (EntNet).
        embed_dim: width of the embeddings; not read by "bag".
        linear_start: epochs in which MemN2N trains without its softmax (MemN2N: 20); not read by
            other memories.

    Raises:
        ValueError: there is no such folder or file, a line in it is malformed, or an option was set
            that is not read.
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
        embed_dim: Annotated[int, Ge(1)] = EMBED_DIM,
        linear_start: Annotated[int, Ge(0)] = LINEAR_START,
    ) -> None:
        if reading == "bag" and embed_dim != EMBED_DIM:
            raise ValueError(
                f"task.embed_dim={embed_dim} is not read by task.reading=bag (it is by position, "
                "mask)"
            )
        self._files = files(folder, number)
        train, test = (read(path) for path in self._files)
        self.vocabulary = Vocabulary([*train, *test])
        self.train, self.test = (encode(part, self.vocabulary, facts) for part in (train, test))
        self.nil, self.reading, self.embed_dim = nil, reading, embed_dim
        self._epochs = linear_start
        self.linear_start = linear_start * len(self.train.answer)  # sequences
        words = len(self.vocabulary.words)
        super().__init__(
            in_dim=2 * words if reading == "bag" else embed_dim,
            out_dim=len(self.vocabulary.answers),
            min_length=facts,
            max_length=facts,
        )
        # The accuracy of always giving the training set's most common answer.
        most_common = self.train.answer.mode().values
        self.chance = float((self.test.answer == most_common).float().mean())
        self._order = torch.empty(0, dtype=torch.long)  # the rest of this epoch's order

    def encoder(self) -> nn.Module:
        words, longest = len(self.vocabulary.words), self.vocabulary.sentence_len
        return sentence_reader(self.reading, words, longest, self.embed_dim)

    def head(self, core: MemoryCore[Any]) -> nn.Module:
        if self._epochs not in (0, LINEAR_START) and not isinstance(core, MemN2N):
            raise ValueError(
                f"task.linear_start={self._epochs} is not read by {type(core).__name__} (it is by "
                "memory=memn2n)"
            )
        return answer_head(core, self.vocabulary, self.reading)

    def prepare(self, core: MemoryCore[Any], sequences: int) -> None:
        if isinstance(core, MemN2N):
            core.linear = sequences < self.linear_start

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        while len(self._order) < batch:
            epoch = torch.randperm(len(self.train.answer), generator=generator)
            self._order = torch.cat([self._order, epoch])
        rows, self._order = self._order[:batch], self._order[batch:]
        return as_batch(with_nil_facts(self.train.rows(rows), self.nil, generator))

    def held_out(self, batch: int) -> Iterator[Batch]:
        count = len(self.test.answer)
        for first in range(0, count, batch):
            yield as_batch(self.test.rows(torch.arange(first, min(first + batch, count))))

    def files(self) -> tuple[Path, ...]:
        return self._files

    def state_dict(self) -> dict[str, Any]:
        return {"order": self._order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._order = state["order"]


def as_batch(stories: Stories) -> Batch:
    """Stories as a batch in which only the questions are scored."""
    steps, rows = stories.words.shape[:2]
    is_question = last_step(stories.length, steps)
    x: Tensor = torch.cat([stories.words, is_question.long().unsqueeze(-1)], dim=-1)
    target = torch.where(is_question, stories.answer, 0)
    return Batch(x, target, is_question, starts_at_first_step(steps, rows))
