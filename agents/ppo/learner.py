"""PPO's learner: epochs over a rollout, minibatches of whole chunks, one optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from memrl.agents.auxiliary import Auxiliary
from memrl.agents.gradient_step import gradient_step, parameter_groups
from memrl.agents.ppo.captured_minibatch import CapturedMinibatch
from memrl.agents.ppo.config import ImitationConfig, PPOConfig
from memrl.agents.ppo.rates import Rates
from memrl.agents.ppo.rehearsal import Rehearsal
from memrl.agents.ppo.teachers import ImitationLoss, Teachers
from memrl.agents.training_metrics import Averages
from memrl.distributed.collectives import max_over_ranks, mean_over_ranks
from memrl.losses.ppo import Moments, PPOLoss, masked_mean, moments, ppo_loss
from memrl.memory import state as states
from memrl.memory.ops.host import without_host
from memrl.policies.actor_critic import Policy, PolicyUnrolled
from memrl.rollout.minibatches import equal_shares, of_size
from memrl.rollout.packing import by_episode
from memrl.rollout.storage import Chunk, Rollout
from memrl.rollout.times import Times


class Learner:
    """Improves a policy on rollouts (Schulman et al. 2017).

    Args:
        policy: what is improved.
        config: its options may be replaced between two calls of ``improve``.
        shuffler: shuffles the chunks.
        optimizer: of all parameters of the policy; Adam if None.
        auxiliary: a further loss, whose heads Adam trains, too; None: there is none.
        times: measures the waiting for other ranks.

    Attributes:
        batch_size: steps of a minibatch; None: ``config.minibatches`` equal shares of the chunks.
        epochs: passes over the rollout that the last ``improve`` began.
        captured: replays the minibatches after ``capture``; None before.
        teachers: say what they would do in each chunk; None: there are none.
        rehearsal: has sequences of earlier tasks; None: there are none.
    """

    def __init__(
        self,
        policy: Policy,
        config: PPOConfig,
        shuffler: torch.Generator,
        optimizer: Optimizer | None = None,
        auxiliary: Auxiliary | None = None,
        times: Times | None = None,
    ) -> None:
        self.policy, self.config, self.shuffler = policy, config, shuffler
        self.auxiliary, self.times = auxiliary, times or Times()
        self.batch_size: int | None = None
        self.epochs = 0
        self.captured: CapturedMinibatch | None = None
        self.teachers: Teachers | None = None
        self.rehearsal: Rehearsal | None = None
        self.groups = parameter_groups(policy)
        if auxiliary is not None:
            self.groups["auxiliary"] = list(auxiliary.parameters())
        self.optimizer = optimizer or torch.optim.Adam(
            [{"params": group} for group in self.groups.values() if group],
            lr=config.lr,
            eps=1e-5,
            fused=True,
        )

    def capture(self, rollout: Rollout) -> None:
        """Learn from this rollout by replaying a CUDA graph from now on, with equal results.

        Rows are not repacked by episode. It needs the learner's own Adam and minibatches that are
        equal shares. Call it again if tensors of the optimiser were replaced.
        """
        self.captured = CapturedMinibatch(
            self.minibatch,
            self.optimizer,
            rollout,
            self.config.minibatches,
            value_clip=self.config.value_clip is not None,
        )

    def improve(self, rollout: Rollout, rates: Rates) -> Averages:
        """Train for some epochs of minibatches on a rollout with advantages and targets.

        After ``capture`` it waits for the device once, at the end, and with ``config.target_kl``
        once an epoch.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; that step changed nothing.
        """
        averages = Averages()
        if rates.lr is not None:
            self._set_lr(rates.lr)
        if self.captured is None:
            self._run_epochs(rollout, rates, averages)
        else:
            self.captured.set_rates(rates)
            with without_host():
                self._run_epochs(rollout, rates, averages)
            self.captured.check(averages)
        if rates.lr is not None:
            averages.set("train/lr", torch.tensor(rates.lr))
        return averages

    def _run_epochs(self, rollout: Rollout, rates: Rates, averages: Averages) -> None:
        config = self.config
        for epoch in range(config.epochs):
            self.epochs = epoch + 1
            if epoch and config.refresh_states:
                averages.add({"memory/state_drift": self.refresh_states(rollout)})
            for metrics, stepped in self._steps(rollout, rates):
                ratio_error = metrics.pop("train/ratio_error")
                if not averages:
                    averages.set("train/ratio_error", max_over_ranks(ratio_error))
                averages.add(metrics)
                if not stepped:
                    return
            if config.target_kl is not None and _kl(averages.last("train/kl")) > config.target_kl:
                return

    def _steps(self, rollout: Rollout, rates: Rates) -> Iterator[tuple[dict[str, Tensor], bool]]:
        """An epoch; yields what ``minibatch`` returns."""
        if self.captured is not None:
            return self.captured.epoch(self.shuffler)
        return (self.minibatch(*each, rates) for each in self._minibatches(rollout))

    def minibatch(
        self, chunk: Chunk, of_all: Moments, rates: Rates, failed: Tensor | None = None
    ) -> tuple[dict[str, Tensor], bool]:
        """One optimiser step on a minibatch, directly or as part of a graph.

        Args:
            chunk: the minibatch.
            of_all: the moments of its advantages, on all ranks.
            rates: those of this iteration.
            failed: in a graph, see ``gradient_step``; None: an error is raised.

        Returns:
            Its metrics, and whether there was a step: none if its KL is beyond ``max_kl``.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; no parameter was changed.
        """
        loss, total, others = self._loss(chunk, of_all, rates)
        losses = loss._asdict() | others
        metrics = {f"train/{name}": x.detach() for name, x in losses.items()}
        if rates.max_kl is not None and _kl(loss.kl) > rates.max_kl:
            return metrics, False
        norms = self.step(total, losses, failed)
        return metrics | {f"grad_norm/{name}": x for name, x in norms.items()}, True

    def _loss(
        self, chunk: Chunk, of_all: Moments, rates: Rates
    ) -> tuple[PPOLoss, Tensor, dict[str, Tensor]]:
        """PPO's terms, the sum to minimise, and further terms and shares by name."""
        config = self.config
        device = chunk.start.device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
            out = self.policy(chunk.obs, chunk.state, chunk.start)
        advantage, count = chunk.advantage, of_all.steps
        if config.normalise_advantages:
            advantage = of_all.standardise(advantage)
        loss = ppo_loss(
            out.actions.log_prob(chunk.action),
            chunk.log_prob,
            advantage,
            out.actions.entropy(),
            out.value.to(chunk.target.dtype),
            chunk.value,
            chunk.target,
            chunk.valid,
            clip=rates.clip,
            value_clip=rates.value_clip,
            count=count,
        )
        cost = torch.zeros_like(loss.value)
        if out.cost is not None:
            cost = masked_mean(out.cost, chunk.valid, count)
        total = config.policy_coef * loss.policy + config.value_coef * loss.value
        total = total - rates.entropy * loss.entropy + config.core_cost * cost
        others = {"core_cost": cost}
        if self.auxiliary is not None:
            extra = self.auxiliary(out.memory, chunk.obs, chunk.start, chunk.valid)
            total, others = total + self.auxiliary.weight * extra.loss, others | extra.named()
        for name, term, weight in self._of_others(chunk, out, count):
            total, others[name] = total + weight * term, term
        return loss, total, others

    def _of_others(
        self, chunk: Chunk, out: PolicyUnrolled, count: Tensor
    ) -> Iterator[tuple[str, Tensor, float]]:
        """Losses by what other agents do or did, each with its name and its weight."""
        config = self.config
        if self.teachers is not None:
            far = self.teachers.loss(self.policy.actor, chunk, out, count)
            yield from _imitation("teacher", far, config.teacher)
        if self.rehearsal is not None:
            cloning, learned = self.rehearsal.loss()
            yield from _imitation("rehearsal", cloning, config.rehearsal)
            if learned is not None:
                weight = config.rehearsal.vtrace
                yield "vtrace_policy", learned.policy, weight
                yield "vtrace_value", learned.value, weight * config.value_coef

    def step(
        self, total: Tensor, losses: Mapping[str, Tensor], failed: Tensor | None = None
    ) -> dict[str, Tensor]:
        """One optimiser step on the loss ``total``; see ``gradient_step``."""
        return gradient_step(
            self.optimizer,
            self.groups,
            total,
            losses,
            max_norm=self.config.max_grad_norm,
            failed=failed,
            waiting=self.times.of("waiting"),
        )

    def _minibatches(self, rollout: Rollout) -> Iterator[tuple[Chunk, Moments]]:
        """Those of an epoch; ranks exchange the moments of all of them before the first."""
        if self.batch_size is None:
            shares = equal_shares(rollout, self.config.minibatches, self.shuffler)
        else:
            shares = of_size(rollout, self.batch_size, self.shuffler)
        if self.rehearsal is not None:
            self.rehearsal.draw(len(shares))
        of_all = moments([rollout.advantages(spans, spans.longest()) for spans in shares])
        for spans, each in zip(shares, of_all, strict=True):
            yield by_episode(rollout.gather(spans, spans.longest())), each

    @torch.no_grad()
    def refresh_states(self, r: Rollout) -> Tensor:
        """Recompute the states at chunk starts; returns their relative change."""
        state = states.map_state(lambda stored: stored[0], r.states)
        change = size = torch.zeros((), device=r.start.device)
        for c, begin in enumerate(r.chunk_starts[1:], start=1):
            span = slice(r.chunk_starts[c - 1], begin)
            obs = {key: value[span] for key, value in r.obs.items()}
            state = self.policy(obs, state, r.start[span]).state
            for stored, leaf in zip(states.leaves(r.states), states.leaves(state), strict=True):
                change = change + (stored[c] - leaf).square().sum()
                size = size + leaf.square().sum()
                stored[c] = leaf
        return (change / size.clamp(min=1e-12)).sqrt()

    def _set_lr(self, lr: float) -> None:
        memory = {id(p) for p in self.groups["memory"]}
        for group in self.optimizer.param_groups:
            multiple = self.config.lr_memory if id(group["params"][0]) in memory else 1.0
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * multiple)  # a graph reads this tensor
            else:
                group["lr"] = lr * multiple


def _kl(part: Tensor) -> float:
    """The KL of all ranks, which stop together, on the host."""
    return float(mean_over_ranks(part))


def _imitation(
    name: str, far: ImitationLoss, weights: ImitationConfig
) -> Iterator[tuple[str, Tensor, float]]:
    """The terms of a distance from other agents."""
    yield f"{name}_kl", far.kl, weights.weight
    yield f"{name}_value", far.value, weights.value_weight
