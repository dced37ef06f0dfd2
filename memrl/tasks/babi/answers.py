"""The heads that map a memory's output to answers: a linear map, or tied embeddings."""

from __future__ import annotations

from typing import Any, final

from jaxtyping import Float
from torch import Tensor, nn

from memrl.memory import MemN2N
from memrl.memory.core import MemoryCore
from memrl.tasks.babi.encoding import Vocabulary
from memrl.tasks.babi.sentences import Reading


def answer_head(core: MemoryCore[Any], vocabulary: Vocabulary, reading: Reading) -> nn.Module:
    """Weights tied to MemN2N's last embedding under adjacent tying; otherwise a linear map.

    Tied weights need a memory that embeds words (``task.reading=bag``, ``memory.position=true``)
    and answers of a single word, so that every answer has an embedding.
    """
    words = reading == "bag" and set(vocabulary.answers) <= vocabulary.word_index.keys()
    if words and isinstance(core, MemN2N) and core.adjacent and core.position:
        indices = [vocabulary.word_index[answer] - 1 for answer in vocabulary.answers]
        return TiedAnswers(core, indices)
    return nn.Linear(core.out_dim, len(vocabulary.answers))


@final
class TiedAnswers(nn.Module):
    """W = (C^K)ᵀ, the rows of the words that are answers (MemN2N, adjacent tying).

    Args:
        core: owns the weights; they are read at each call and are not parameters of this module.
        indices: of the answers among the words, counted from 0.
    """

    def __init__(self, core: MemN2N, indices: list[int]) -> None:
        super().__init__()
        self._core = [core]  # in a list, so that it does not become a submodule
        self.indices = indices

    def forward(self, y: Float[Tensor, "*N D"]) -> Float[Tensor, "*N O"]:
        return y @ self._core[0].answer_weight[:, self.indices]
