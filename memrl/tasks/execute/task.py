"""Execute: read a short program, then say the value that every assignment of its run gives."""

from __future__ import annotations

from random import Random
from typing import Annotated, Final, final

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from memrl.tasks.execute.programs import BASE, random_program, tokens, trace
from memrl.tasks.task import REGISTRY, Batch, Task, Texts, starts_at_first_step

DIGITS: Final = tuple(map(str, range(BASE)))
HALT: Final = BASE  # the class that ends a trace
MARKS: Final = ("=", "+", "loop", "{", "}", "run")
NAMES: Final = "abcdefgh"


@final
@REGISTRY.register("execute")
class Execute(Task):
    """Programs of ``length`` lines: assignments, additions modulo 10, and loops around them.

    A program is read token by token (``a = 3``, ``b + a``, ``loop 2 { a + b }``) up to "run". From
    there on the answers are the values that assignments give, in the order of execution, and a halt
    at the end; the input is the value before (teacher forcing, so that a trace whose every value is
    right is also right without it). Input: one-hot variables, digits and marks. Programs of a batch
    end at different steps; after its halt a sequence is zero and not scored.

    Args:
        variables: that programs use.
        repeats: a loop repeats its body 2 to so many times.
        nesting: loops inside each other, at most, in programs of up to ``max_length`` lines; longer
            ones nest one deeper.
        min_length: lines of the shortest programs to train on; the head of a loop is one.
        max_length: lines of the longest programs to train on.
    """

    kind = "classes"
    paper = "Zaremba & Sutskever 2014, Learning to Execute"
    chance = 1.0 / BASE

    def __init__(
        self,
        *,
        variables: Annotated[int, Ge(1), Le(len(NAMES))] = 3,
        repeats: Annotated[int, Ge(2), Le(9)] = 3,
        nesting: Annotated[int, Ge(0)] = 1,
        min_length: int = 2,
        max_length: int = 6,
    ) -> None:
        self.vocabulary = (*NAMES[:variables], *DIGITS, *MARKS)
        self._number = {token: index for index, token in enumerate(self.vocabulary)}
        super().__init__(
            in_dim=len(self.vocabulary),
            out_dim=BASE + 1,
            min_length=min_length,
            max_length=max_length,
        )
        self.variables, self.repeats, self.nesting = NAMES[:variables], repeats, nesting

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        random = Random(int(torch.randint(2**63 - 1, (), generator=generator)))
        nesting = self.nesting + (length > self.max_length)
        sequences = []
        for _ in range(batch):
            program = random_program(
                random, length, variables=self.variables, repeats=self.repeats, nesting=nesting
            )
            sequences.append(([*tokens(program), "run"], trace(program)))
        return self._as_batch(sequences)

    def _as_batch(self, sequences: list[tuple[list[str], list[int]]]) -> Batch:
        """Programs, up to "run", with their traces."""
        nothing = len(self.vocabulary)
        inputs, answers = [], []
        for program, values in sequences:
            read = [self._number[token] for token in program]
            said = [self._number[DIGITS[value]] for value in values]
            inputs.append(torch.tensor(read + said))
            answers.append(torch.tensor([-1] * (len(read) - 1) + [*values, HALT]))
        heard = torch.nn.utils.rnn.pad_sequence(inputs, padding_value=nothing)  # [T, B]
        target = torch.nn.utils.rnn.pad_sequence(answers, padding_value=-1)
        x = functional.one_hot(heard, nothing + 1)[..., :-1].float()
        return Batch(x, target.clamp(min=0), target >= 0, starts_at_first_step(*heard.shape))

    def texts(self, batch: Batch) -> Texts:
        x, scored = batch.x[:, 0], batch.mask[:, 0].tolist()
        heard = [_word(step, self.vocabulary) for step in x]
        said = [
            ("halt" if answer == HALT else str(answer)) if is_scored else ""
            for answer, is_scored in zip(batch.target[:, 0].tolist(), scored, strict=True)
        ]
        return Texts(heard, said)


def _word(step: Tensor, vocabulary: tuple[str, ...]) -> str:
    return vocabulary[int(step.argmax())] if step.any() else ""
