"""Translation: read a sentence of one made-up language, then say it in another, word by word."""

from __future__ import annotations

from typing import Annotated, Final, final

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from memrl.tasks.task import REGISTRY, Batch, Task, Texts, starts_at_first_step

PARTICLES: Final = ("SUBJECT", "OBJECT", "END")  # words of the target language alone


@final
@REGISTRY.register("translate")
class Translate(Task):
    """Sentences of ``length`` words: subject, verb, object, with adjectives before either noun.

    The target language has other words, and puts adjectives after their noun in mirrored order,
    marks subject and object with particles, and has the verb at the end: with a, b adjectives,
    n, m nouns and v a verb, "a b n v a m" becomes "N B A SUBJECT M A OBJECT V END". Adjectives and
    nouns of a sentence differ.

    Input: one-hot words of the source; a delimiter; then the target word before the one to say
    (teacher forcing, so that a sentence whose every word is right is also said right without it).
    2 · length + 3 steps, of which those from the delimiter on are scored.

    Args:
        adjectives: of either language; a sentence has at most as many.
        nouns: of either language.
        verbs: of either language.
        min_length: words of the shortest source sentences to train on; at least 3.
        max_length: words of the longest source sentences to train on.
    """

    kind = "classes"
    paper = "Sutskever, Vinyals & Le 2014, Sequence to Sequence Learning with Neural Networks"

    def __init__(
        self,
        *,
        adjectives: Annotated[int, Ge(1)] = 24,
        nouns: Annotated[int, Ge(2)] = 8,
        verbs: Annotated[int, Ge(1)] = 4,
        min_length: int = 3,
        max_length: int = 10,
    ) -> None:
        self.sizes = adjectives, nouns, verbs
        self.words = sum(self.sizes)  # the particles follow them in the target language
        super().__init__(
            in_dim=self.words + 1 + self.words + len(PARTICLES) - 1,  # nothing follows the end
            out_dim=self.words + len(PARTICLES),
            min_length=min_length,
            max_length=max_length,
            shortest=3,
            longest=adjectives + 3,
        )
        self.chance = 1.0 / (max_length + 3)  # each particle

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        adjectives, nouns, verbs = self.sizes
        before = torch.randint(0, length - 2, (batch,), generator=generator)  # of the subject
        parts = torch.cat(
            [
                _different(adjectives, length - 3, batch, generator),
                adjectives + _different(nouns, 2, batch, generator),
                adjectives + nouns + torch.randint(0, verbs, (batch, 1), generator=generator),
            ],
            dim=1,
        )  # [B, L]
        counts = range(length - 2)
        source_orders = torch.tensor([source_order(length, each) for each in counts])
        target_orders = torch.tensor([target_order(length, each) for each in counts])
        source = parts.gather(1, source_orders[before]).T  # [L, B]
        particles = torch.arange(self.words, self.out_dim).unsqueeze(1).expand(-1, batch)
        target = torch.cat([source, particles]).gather(0, target_orders[before].T)  # [L + 3, B]
        return self._as_batch(source, target)

    def _as_batch(self, source: Tensor, target: Tensor) -> Batch:
        length, batch = source.shape
        delimiter = torch.full((1, batch), self.words)
        heard = torch.cat([source, delimiter, self.words + 1 + target[:-1]])
        steps = len(heard)
        mask = (torch.arange(steps) >= length).unsqueeze(1).expand(-1, batch)
        answers = torch.cat([torch.zeros_like(source), target])
        x = functional.one_hot(heard, self.in_dim).float()
        return Batch(x, answers, mask, starts_at_first_step(steps, batch))

    def texts(self, batch: Batch) -> Texts:
        letters = zip("anv", self.sizes, strict=True)
        source = [f"{letter}{number}" for letter, size in letters for number in range(size)]
        names = [*source, "→", *(word.upper() for word in source), *PARTICLES]
        said = [
            names[self.words + 1 + answer] if is_scored else ""
            for answer, is_scored in zip(
                batch.target[:, 0].tolist(), batch.mask[:, 0].tolist(), strict=True
            )
        ]
        return Texts([names[word] for word in batch.x[:, 0].argmax(-1).tolist()], said)


def source_order(length: int, before: int) -> list[int]:
    """The words of a source sentence among its adjectives, its two nouns and its verb.

    ``before`` of the ``length`` − 3 adjectives belong to the subject.
    """
    adjectives = length - 3
    subject, object_, verb = adjectives, adjectives + 1, adjectives + 2
    return [*range(before), subject, verb, *range(before, adjectives), object_]


def target_order(length: int, before: int) -> list[int]:
    """The source words of a target sentence by position; ``length`` + i is particle i."""
    verb, last = before + 1, length - 1
    subject = range(before, -1, -1)
    return [*subject, length, *range(last, verb, -1), length + 1, verb, length + 2]


def _different(size: int, count: int, batch: int, generator: torch.Generator) -> Tensor:
    """``count`` different numbers below ``size`` for each row, [B, count]."""
    return torch.rand(batch, size, generator=generator).argsort(dim=1)[:, :count]
