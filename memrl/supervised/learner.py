"""The supervised learner: sample batches, compute the loss, step the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal, final

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from memrl.checkpoint.optimizer import load_moments, moments
from memrl.memory.parts.growth import growth_of
from memrl.options import Strict
from memrl.run.agent import Metrics
from memrl.supervised.curriculum import Curriculum, CurriculumConfig
from memrl.supervised.model import ModelOutput, SequenceModel
from memrl.supervised.score_function import score_function
from memrl.supervised.scoring import Score, score_batch, step_losses
from memrl.tasks.task import Batch, Task


class LearnerConfig(Strict):
    """Gradient descent on batches of whole sequences."""

    batch: Annotated[int, Ge(1)] = 32  # sequences
    batches: Annotated[int, Ge(1)] = 50  # per iteration, a row of metrics
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: Annotated[float, Gt(0)] = 1.0e-3
    lr_end: Annotated[float, Ge(0)] | None = None  # reached linearly; null: constant
    halve_every: Annotated[int, Ge(1)] | None = (
        None  # sequences after which lr is halved; null: never
    )
    max_grad_norm: Annotated[float, Gt(0)] = 10.0
    core_cost: Annotated[float, Ge(0)] = 1.0  # weight of the core's own loss
    stop_at: Annotated[float, Gt(0), Le(1)] | None = (
        None  # accuracy over an iteration that ends learning
    )

    def lr_at(self, progress: float) -> float:
        """The learning rate at a share 0 … 1 of all sequences, before it is halved."""
        end = self.lr if self.lr_end is None else self.lr_end
        return self.lr + (end - self.lr) * min(1.0, progress)


OPTIMIZERS: Final[Mapping[str, Callable[..., torch.optim.Optimizer]]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.95, momentum=0.9),  # Graves 2013
    "sgd": torch.optim.SGD,
}


@final
class SupervisedLearner:
    """Learns one task by backpropagation through whole sequences.

    Lengths and sequences are drawn from generators seeded by ``seed``.

    Attributes:
        experience: sequences so far.
        solved: True once an iteration with all lengths reached ``stop_at``, which ends learning.
    """

    unit = "sequences"

    def __init__(
        self,
        task: Task,
        model: SequenceModel,
        config: LearnerConfig,
        curriculum: CurriculumConfig,
        *,
        device: torch.device,
        seed: int,
    ) -> None:
        self.task, self.model, self.config, self.device = task, model.to(device), config, device
        lengths, sequences, choices = np.random.SeedSequence(seed).generate_state(3).tolist()
        self.curriculum = Curriculum(task, curriculum, torch.Generator().manual_seed(lengths))
        self.generator = torch.Generator().manual_seed(sequences)
        draws = model.core.draws
        self.choices = torch.Generator(device).manual_seed(choices) if draws else None
        self.optimizer = OPTIMIZERS[config.optimizer](model.parameters(), lr=config.lr)
        self.growth = growth_of(self.model.core, self.optimizer)
        self.experience, self.solved = 0, False

    def learn(self, total: int, on_iteration: Callable[[Metrics], None]) -> None:
        """See ``memrl.run.agent.Learner.learn``."""
        while self.experience < total and not self.solved:
            self._set_lr(self.experience / total)
            metrics = self._iterate()
            accuracy = metrics["train/accuracy"]
            stop_at = self.config.stop_at
            self.solved = stop_at is not None and self.curriculum.complete and accuracy >= stop_at
            self.curriculum.update(accuracy)
            on_iteration(metrics)

    def _iterate(self) -> dict[str, float]:
        """Learn from the batches of an iteration; sums stay on the device until its end."""
        longest = self.curriculum.longest
        sums = torch.zeros(5, device=self.device, dtype=torch.float64)
        most: Batch | None = None  # of the batches, the one with the longest sequences
        for _ in range(self.config.batches):
            batch = self._draw()
            sums += self._step(batch)
            if most is None or len(batch.x) > len(most.x):
                most = batch
        self.experience += self._per_iteration
        loss, correct, count, norm, cost = sums.tolist()
        if not math.isfinite(loss + norm):
            raise FloatingPointError("the loss or its gradient became NaN or infinite")
        batches = self.config.batches
        assert most is not None
        return {
            "train/loss": loss / count,
            "train/accuracy": correct / count,
            "train/length": longest,
            "train/core_cost": cost / batches,
            "train/lr": self.optimizer.param_groups[0]["lr"],
            "grad_norm/all": norm / batches,
            **self._grow(most),
        }

    def _grow(self, batch: Batch) -> dict[str, float]:
        """Give the memory more slots if it is full; what it uses of them on a batch, in metrics."""
        if self.growth is None:
            return {}
        used, slots = self.model.fullness(batch.x, batch.start), self.growth.core.slots
        self.growth.update(used)
        return {"memory/slots": float(slots), "memory/used": used}

    def _draw(self) -> Batch:
        """The next batch, on the device."""
        self.task.prepare(self.model.core, self.experience)
        length = self.curriculum.draw()
        batch = self.task.sample(self.config.batch, length, self.generator)
        self.task.check_batch(batch)
        return batch.to(self.device)

    def _step(self, batch: Batch) -> Tensor:
        """One optimiser step; returns loss, correct, count, gradient norm and core cost [5]."""
        with self.model.core.drawing(self.choices):
            output = self.model(batch.x, batch.start)
        score = score_batch(self.task, output.logits, batch)
        cost = self._core_cost(output, batch, score)
        self.optimizer.zero_grad(set_to_none=True)
        total = score.loss / score.scored + self.config.core_cost * cost
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return torch.stack([*score, norm, cost]).detach()

    def _core_cost(self, output: ModelOutput, batch: Batch, score: Score) -> Tensor:
        if output.cost is None:
            return score.loss.new_zeros(())
        if not self.model.core.draws:
            return output.cost.mean()
        losses = step_losses(self.task, output.logits, batch)
        return score_function(output.cost, losses) / score.scored

    @property
    def _per_iteration(self) -> int:
        return self.config.batch * self.config.batches  # sequences

    def _set_lr(self, progress: float) -> None:
        rate = self.config.lr_at(progress)
        if self.config.halve_every is not None:
            rate *= 0.5 ** (self.experience // self.config.halve_every)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """See ``memrl.run.agent.Learner.state_dict``."""
        return {
            "sequences": self.experience,
            "solved": self.solved,
            "model": dict(self.model.state_dict()),
            "optimizer": moments(self.optimizer),
            "curriculum": self.curriculum.state_dict(),
            "generator": self.generator.get_state(),
            "task": self.task.state_dict(),
            "choices": None if self.choices is None else self.choices.get_state(),
            "growth": None if self.growth is None else self.growth.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``memrl.run.agent.Learner.load_state_dict``."""
        if self.growth is not None:
            self.growth.load_state_dict(state["growth"])
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"the saved model is not the one configured here: {reason}") from None
        self.experience, self.solved = state["sequences"], state["solved"]
        load_moments(self.optimizer, state["optimizer"])
        self.curriculum.load_state_dict(state["curriculum"])
        self.generator.set_state(state["generator"])
        if self.choices is not None:
            self.choices.set_state(state["choices"])
        self.task.load_state_dict(state["task"])
        # As in the last iteration: a finished run is evaluated with the memory in this form.
        self.task.prepare(self.model.core, max(0, self.experience - self._per_iteration))
