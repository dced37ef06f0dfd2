"""What an agent does when its memory is silenced, wiped, frozen, or taken from another episode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.evaluation.acting import Acting
from memrl.evaluation.statistics import Estimate, are_shares, mean, wilson
from memrl.memory.core import MemoryCore
from memrl.memory.state import leaves, select
from memrl.probing.changes import (
    Capture,
    Freeze,
    all_of,
    has_slots,
    transplant,
    wipe,
    wipe_from,
)
from memrl.probing.cue_reads import CueReads, Inputs, examples, reads_of_cue
from memrl.probing.moments import donors, moments, moments_at
from memrl.probing.play import NEVER, Change, Played, Watch, play
from memrl.probing.readout import Features, Readout, steps_to_probe
from memrl.rollout.env import BatchedEnv, Obs
from memrl.run.agent import Agent, Remembering

SWEPT: Final = (0.0, 0.25, 0.5, 0.75, 1.0)  # moments, as shares of the way from the cue to the end
When: TypeAlias = float | int | None  # one of SWEPT, or a step; None: from the beginning
WIPED: Final = "wiped once"
OTHER: Final = "state of another cue"
OTHER_SLOTS: Final = "slots of another cue"
SAME: Final = "state of the same cue"


class Result(NamedTuple):
    """One experiment."""

    name: str
    when: When
    score: Estimate  # success, or return where the task has no success
    change: Estimate | None  # of the score, episode by episode; None: nothing was changed
    other: Estimate | None  # rate of ending with the paired episode's cue; None: that is not told
    again: Estimate | None  # rate of seeing the own cue again after the moment; None likewise
    unaided_score: Estimate | None  # of the episodes that did not; None: there are none
    unaided_other: Estimate | None
    cut_off: int  # episodes that were longer than the limit; they count as failed


@final
class Experiments:
    """Plays the same episodes again and again, each time with another change of the memory.

    The moment of a change is the first step after the cue was last in view, or a later one, or the
    step that is asked for. Episodes without such a moment are left out of all results.

    Args:
        agent: a trained agent.
        env: one environment for each episode.
        acting: how. Its ``seed`` also decides who is paired with whom. Its ``max_steps`` are those
            of undisturbed episodes; others may have twice as many as the longest of these.
        step: the moment in every episode, a step from 1 on; None: several moments, see ``SWEPT``.
        gap: fewest steps from the cue's last view to the end; episodes with fewer have no moment.
            Without ``step`` only.

    Attributes:
        measure: "success", or "return" where the task has no success.
        plain: the episodes without any change.
        longest: env steps after which a changed episode is cut off.
        rows: bool [B]; the episodes that have the moment.
        readouts: of the cue, and of the success that an episode will have: what probes read off the
            memory. Empty before ``results``, and where there is no cue.
        reads: how much of what is read comes from the steps that saw the cue; None likewise, and
            where all episodes are too long for it.

    Raises:
        ValueError: the agent has no memory state, an undisturbed episode is longer than
            ``acting.max_steps``, or no episode has such a moment.
    """

    def __init__(
        self,
        agent: Agent,
        env: BatchedEnv,
        acting: Acting,
        *,
        step: int | None = None,
        gap: int = 1,
    ) -> None:
        able, self._core, self._encode = need_memory(agent)
        self._agent, self._env = able, env
        self.plain = plain = play(able, env, acting)
        if plain.cut_off:
            raise ValueError(
                f"{plain.cut_off} of {env.num_envs} episodes are longer than "
                f"max_steps={acting.max_steps} (allowed: a limit that none reaches)"
            )
        self.longest = 2 * int(plain.length.max())
        self._acting = replace(acting, max_steps=self.longest)
        known = not np.isnan(plain.success).any() and are_shares(plain.success)
        self.measure = "success" if known else "return"
        self._moments: dict[When, NDArray[np.int64]] = (
            {step: moments_at(plain, step)}
            if step is not None
            else {share: moments(plain, share, gap=gap) for share in SWEPT}
        )
        self._first: When = next(iter(self._moments))
        self.rows = self._moments[self._first] != NEVER
        if not self.rows.any():
            what = "its first" if plain.cue is None else "the cue was in view"
            least = f"{gap} step{'s' * (gap > 1)}" if step is None else f"a step={step}"
            raise ValueError(
                f"none of {env.num_envs} episodes has {least} after {what}: there is nothing to "
                "remember (allowed: a task with such steps, an agent that reaches them)"
            )
        self._donor = None
        if plain.cue is not None:
            self._donor = donors(plain.cue, self.rows, acting.seed, same=False)
        self.readouts: dict[str, Readout] = {}
        self.reads: CueReads | None = None

    def results(self) -> Iterator[Result]:
        """Play every experiment that this agent and environment allow, one after the other."""
        yield self._result("undisturbed", None, self.plain)
        for part in sorted(self._core.ablations):
            yield self._result(f"{part} silenced", None, self._silenced(part))
        yield self._result("wiped at every step", None, self._silenced("state"))
        yield from self._changed()
        if self.plain.cue is not None:
            yield from self._transplanted(self.plain.cue)

    def _silenced(self, part: str) -> Played:
        return play(self._agent, self._env, replace(self._acting, ablate=part))

    def _play(self, change: Change, watch: Sequence[Watch] = ()) -> Played:
        return play(self._agent, self._env, self._acting, change=change, watch=watch)

    def _changed(self) -> Iterator[Result]:
        initial = self._core.initial_state(self._env.num_envs)
        for when, moment in self._moments.items():
            yield self._result(WIPED, when, self._play(change=wipe(self._here(moment), initial)))
        first = self._here(self._moments[self._first])
        changes: dict[str, Change] = {
            "wiped from then on": wipe_from(first, initial),
            "frozen": Freeze(first, slots=False),
        }
        if has_slots(initial):
            changes["slots frozen"] = Freeze(first, slots=True)
        for name, change in changes.items():
            yield self._result(name, self._first, self._play(change=change))

    def _transplanted(self, cue: NDArray[np.int64]) -> Iterator[Result]:
        captured = {when: Capture(self._here(moment)) for when, moment in self._moments.items()}
        first_seen, steps = self._here(self.plain.first_seen), steps_to_probe(self.plain)
        features = Features(self._encode, first_seen, steps)
        inputs = Inputs(self._encode, examples(self.plain, self.rows))
        self._play(change=all_of(captured.values()), watch=(features, inputs))
        self.readouts = {"cue": features.readout(cue)}
        if self.measure == "success":
            self.readouts["success"] = features.readout(self.plain.success.astype(np.int64))
        self.reads = reads_of_cue(self._core, inputs, self.plain)
        same = donors(cue, self.rows, self._acting.seed, same=True)
        assert self._donor is not None
        plans = [*((OTHER, when, self._donor) for when in captured), (SAME, self._first, same)]
        if has_slots(captured[self._first].states):
            plans.append((OTHER_SLOTS, self._first, self._donor))
        for name, when, donor in plans:
            if (donor == NEVER).all():
                continue
            at = self._here(np.where(donor == NEVER, NEVER, self._moments[when]))
            given = select(captured[when].states, self._here(donor.clip(min=0)))
            change = transplant(at, given, slots=name == OTHER_SLOTS)
            yield self._result(name, when, self._play(change=change), donor != NEVER)

    def _result(
        self, name: str, when: When, played: Played, rows: NDArray[np.bool_] | None = None
    ) -> Result:
        """Of these rows, or of all that have the moment."""
        rows = self.rows if rows is None else rows
        change = self._scores(played) - self._scores(self.plain)
        aided = self._aided(when, played)
        unaided = rows & ~aided
        told = when is not None and self.plain.cue is not None
        return Result(
            name,
            when,
            self._score(played, rows),
            None if played is self.plain else self._change(change[rows]),
            self._other(played, rows),
            wilson(aided[rows]) if told else None,
            self._score(played, unaided) if told and unaided.any() else None,
            self._other(played, unaided) if told else None,
            int((~played.ended)[rows].sum()),
        )

    def _aided(self, when: When, played: Played) -> NDArray[np.bool_]:
        """Episodes that saw their own cue again, after the memory was changed: [B]."""
        if when is None:
            return np.zeros_like(self.rows)
        return played.last_seen >= self._moments[when]

    def _scores(self, played: Played) -> NDArray[np.float64]:
        return played.success if self.measure == "success" else played.returns

    def _score(self, played: Played, rows: NDArray[np.bool_]) -> Estimate:
        scores = self._scores(played)[rows]
        return wilson(scores) if self.measure == "success" else mean(scores)

    def _change(self, change: NDArray[np.float64]) -> Estimate:
        if self.measure == "success":
            return mean(change, least=-1.0, greatest=1.0)
        return mean(change)

    def _other(self, played: Played, rows: NDArray[np.bool_]) -> Estimate | None:
        """How often an episode ends with the cue of the episode that it is paired with."""
        if self._donor is None or self.plain.cue is None or played.choice is None:
            return None
        paired = rows & (self._donor != NEVER)
        if not paired.any():
            return None
        return wilson(played.choice[paired] == self.plain.cue[self._donor[paired]])

    def _here(self, numbers: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(numbers).to(self._env.device)


def need_memory(
    agent: Agent,
) -> tuple[Remembering, MemoryCore[Any], Callable[[Obs], Tensor]]:
    """The agent as one whose memory state can be replaced, its memory, and the memory's encoder.

    Raises:
        ValueError: it is no such agent, or its memory has no state.
    """
    core, encoder = (getattr(agent.policy, name, None) for name in ("core", "encoder"))
    able = isinstance(agent, Remembering) and callable(encoder)
    if not able or not isinstance(core, MemoryCore):
        raise ValueError(
            f"{type(agent).__name__} carries no memory state from step to step (allowed: agents "
            "with a memory core, such as ppo and r2d2)"
        )
    if not leaves(core.initial_state(1)):
        raise ValueError(f"{type(core).__name__} has no state to experiment on (allowed: a memory)")
    return cast("Remembering", agent), core, cast("Callable[[Obs], Tensor]", encoder)
