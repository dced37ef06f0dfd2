"""Few-shot classification: images of new classes and their labels; name the class of the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, final

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from memrl.memory.core import MemoryCore
from memrl.tasks.fewshot.digits import HELD_OUT, PIXELS, TRAINED, Digits, load
from memrl.tasks.fewshot.episodes import draw, presentations
from memrl.tasks.fewshot.neighbour import nearest_neighbour
from memrl.tasks.fewshot.prototypes import Prototypes
from memrl.tasks.task import REGISTRY, Batch, Task, starts_at_first_step


@final
@REGISTRY.register("fewshot")
class FewShot(Task):
    """``length`` images of each class in random order, then one more; name the class of each.

    Classes have labels in an order that is new in every sequence, so that a class and its label
    must be bound within it. Training shows the digits 0 to 4; the evaluation shows 5 to 9, as they
    are. Input: 64 pixels, 0 to 1; one-hot label. All images are scored. The last one is the query
    of ``ways``-way ``length``-shot classification: each class was shown ``length`` times before it.

    Args:
        ways: classes of a sequence; with 5 all digits of either half.
        label: when a label is given: "next", together with the next image (Santoro et al. 2016);
            "again", with the same image, which is shown once more and not scored then, for memories
            that store inputs as they are.
        shuffled: in training, give the pixels of each sequence a random order. Five digits are few:
            without it a memory learns to tell them apart, and nothing else (Kirsch et al. 2022).
        min_length: images of each class in the shortest sequences to train on.
        max_length: images of each class in the longest sequences to train on.

    Raises:
        ValueError: scikit-learn is not installed.
    """

    kind = "classes"
    paper = "Santoro et al. 2016, Meta-Learning with Memory-Augmented Neural Networks"
    group = "presentation of a class"

    def __init__(
        self,
        *,
        ways: Annotated[int, Ge(2), Le(len(HELD_OUT))] = 5,
        label: Literal["next", "again"] = "next",
        shuffled: bool = True,
        min_length: int = 1,
        max_length: int = 5,
    ) -> None:
        self._trained, self._held_out = load(TRAINED), load(HELD_OUT)
        fewest = int(torch.cat([self._trained.counts, self._held_out.counts]).min())
        super().__init__(
            in_dim=PIXELS + ways,
            out_dim=ways,
            min_length=min_length,
            max_length=max_length,
            longest=fewest - 1,
        )
        self.ways, self.label, self.shuffled, self.chance = ways, label, shuffled, 1.0 / ways

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        return self._sequences(self._trained, batch, length, self.shuffled, generator)

    def sample_test(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        return self._sequences(self._held_out, batch, length, False, generator)

    def _sequences(
        self, digits: Digits, batch: int, shots: int, shuffled: bool, generator: torch.Generator
    ) -> Batch:
        images, answers = draw(
            digits, batch, self.ways, shots, shuffled=shuffled, generator=generator
        )
        told = functional.one_hot(answers, self.ways).float()
        if self.label == "next":
            x = torch.cat([images, torch.cat([torch.zeros_like(told[:1]), told[:-1]])], dim=-1)
            target, mask = answers, torch.ones_like(answers, dtype=torch.bool)
        else:
            shown = torch.stack([torch.zeros_like(told), told], dim=1)  # [S, 2, B, ways]
            twice = images.unsqueeze(1).expand(-1, 2, -1, -1)
            x = torch.cat([twice, shown], dim=-1).flatten(0, 1)[:-1]
            target = answers.repeat_interleave(2, dim=0)[:-1]
            mask = (torch.arange(len(target)) % 2 == 0).unsqueeze(1).expand_as(target)
        return Batch(x, target, mask, starts_at_first_step(len(x), batch))

    def head(self, core: MemoryCore[Any]) -> nn.Module:
        if not isinstance(core, Prototypes):
            return super().head(core)
        if self.label == "next":
            raise ValueError(
                "task.label=next, allowed for Prototypes: again, since it reads the label of the "
                "same input"
            )
        if core.classes != self.ways:
            raise ValueError(
                f"memory.classes={core.classes}, allowed with task.ways={self.ways}: {self.ways}"
            )
        return nn.Identity()  # its outputs are logits

    def groups(self, batch: Batch) -> Tensor:
        scored = batch.mask[:, 0]
        counts = torch.zeros_like(batch.target)
        counts[scored] = presentations(batch.target[scored])
        return counts

    def controls(self, batch: Batch) -> Mapping[str, Tensor]:
        scored = batch.mask[:, 0]
        logits = batch.x.new_zeros(*batch.target.shape, self.ways)
        logits[scored] = nearest_neighbour(
            batch.x[scored, :, :PIXELS], batch.target[scored], self.ways
        )
        return {"nearest neighbour in pixels": logits}
