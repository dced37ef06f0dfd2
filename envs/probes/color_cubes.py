"""ColorCubes: keep a map of cubes that teleport, and walk to the colour that is asked for."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.cubes_picture import draw_cubes
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


class _Level(NamedTuple):
    cubes: int
    phases: int
    teleport: float
    colours: bool  # shown in every view, or in the first one of an episode only


_LEVELS: Final = {
    "trivial": _Level(cubes=1, phases=1, teleport=0.0, colours=True),
    "medium": _Level(cubes=4, phases=4, teleport=0.1, colours=True),
    "extreme": _Level(cubes=4, phases=4, teleport=0.1, colours=False),
}


@final
class ColorCubes(Probe):
    """Walk to the cube of the asked colour, phase after phase, while other cubes teleport.

    After "Memory Retention Is Not Enough to Master Memory Tasks in Reinforcement Learning"
    (Shchendrigin et al. 2026). ``cubes`` cubes of different colours lie on a grid of ``size`` ×
    ``size`` cells. A phase begins with a view of the cubes and the colour of its target; then the
    agent sees nothing but its own cell. Reaching the target pays 1 and teleports it, and the next
    phase begins. After any other move another cube teleports with probability ``teleport``, and the
    next observation is a view of all cubes. The episode succeeds after ``phases`` phases. At the
    level ``trivial`` there is one cube and one phase. At ``extreme`` the colours are shown in the
    first view of the episode only: whoever keeps a map finds the one cube that is not where it was.

    The paper's code was not at hand. From its project page and summaries of its text come: views
    at the beginning of a phase and after a teleport, the reward of 1, the teleports of the target
    and of the others, one cube and one phase at ``trivial``, hidden colours at ``extreme``. These
    parts are ours: the numbers of the levels; one cube at a time teleports, to any cell without a
    cube; a target is one of all colours and is told at the beginning of its phase only; the agent
    sees its own cell, moves in four directions, and takes a cube by entering its cell; a cube that
    is not the target is no obstacle; the first observation of a phase is a look, a step in which
    the agent stands still whatever its action, so that only a memory carries the view to a move;
    and the episode is truncated if a phase takes 2 (size − 1) moves, the distance of the farthest
    cells, without reaching its target.

    The observation has three entries: ``agent``, its row and column; ``cubes``, for each cell 0
    (empty, or no view), 1 … N (a colour) or N + 1 (a cube of hidden colour), where N is the number
    of cubes; and ``target``, 1 … N, or 0 where it is not told.

    A blind walker enters at best one new cell per move, which finds a target in 2 / (size + 1) of
    the phases. From the third phase on the cells of earlier targets are a little less likely, so
    that the level is exact for up to two phases. Views that come during a phase help an agent
    without a memory by an unknown amount.

    Args:
        num_envs: B.
        level: ``trivial``, ``medium`` or ``extreme``: sets the next three, and the colours.
        size: cells along a side (the paper's G), at least 2.
        cubes: the paper's N, at least 1 and fewer than cells; None for that of the level.
        phases: the paper's K, at least 1; None for that of the level.
        teleport: probability per move, in [0, 1]; None for that of the level.
        device: of all tensors.

    Raises:
        ValueError: an option is out of range.
    """

    free_actions = True
    metric_names = ("success",)

    def __init__(
        self,
        num_envs: int,
        *,
        level: Literal["trivial", "medium", "extreme"] = "trivial",
        size: int = 6,
        cubes: int | None = None,
        phases: int | None = None,
        teleport: float | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        known = _LEVELS[level]
        self.cubes = known.cubes if cubes is None else cubes
        self.phases = known.phases if phases is None else phases
        self.teleport = known.teleport if teleport is None else teleport
        self.size, self.cells, self.colours = size, size**2, known.colours
        fits = size >= 2 and 1 <= self.cubes < self.cells
        if not fits or self.phases < 1 or not 0 <= self.teleport <= 1:
            raise ValueError(
                f"size is {size}, cubes is {self.cubes}, phases is {self.phases} and teleport is "
                f"{self.teleport}, allowed: a size from 2, 1 cube or more but fewer than cells, 1 "
                "phase or more, and a probability"
            )
        self.moves = 2 * (size - 1)  # of a phase, after the step that looks
        super().__init__(num_envs, min_length=min(2 * self.phases, self.moves + 1), device=device)
        self.observation_space = spaces.Dict(
            {
                "agent": spaces.MultiDiscrete([size, size]),
                "cubes": spaces.MultiDiscrete([self.cubes + 2] * self.cells),
                "target": spaces.Discrete(self.cubes + 1),
            }
        )
        self.action_space = spaces.Discrete(4)

    @property
    def levels(self) -> Levels:
        blind = (2 / (self.size + 1)) ** self.phases if self.phases <= 2 else None
        still = self.cubes == 1 or self.teleport == 0
        return Levels("success", 1.0, memoryless=blind if still else None, guess=blind)

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("up", "down", "left", "right")

    def _draw(self, num: int) -> Tensors:
        steps = self.phases * (self.moves + 1)
        cells = torch.rand(num, self.cells, generator=self.generator, device=self.device)
        order = cells.argsort(dim=1)
        target = self._integers(self.cubes, num, self.phases)
        first = order.gather(1, target[:, :1]).squeeze(1)
        chance = torch.rand(num, steps, generator=self.generator, device=self.device)
        return {
            "cubes": order[:, : self.cubes],
            "agent": (first + 1 + self._integers(self.cells - 1, num)) % self.cells,
            "target": target,
            # For each step of the episode: whether a cube teleports, which other one, and where to.
            "teleports": chance < self.teleport,
            "other": self._integers(max(1, self.cubes - 1), num, steps),
            "free": self._integers(self.cells - self.cubes, num, steps),
        }

    def _initial_state(self, setups: Setups) -> State:
        zero = torch.zeros_like(setups.row)
        return {
            "agent": setups["agent"],
            "cubes": setups["cubes"],
            "phase": zero,
            "moves": zero - 1,  # of this phase; -1 while the agent looks
            "view": torch.ones_like(zero, dtype=torch.bool),
        }

    def _observe(self, setups: Setups, state: State) -> Obs:
        agent, looks = state["agent"], state["moves"] < 0
        coloured = (looks & (state["phase"] == 0)) | self.colours
        colour = torch.arange(1, self.cubes + 1, device=self.device)
        shown = torch.where(coloured.unsqueeze(1), colour, self.cubes + 1)
        shown = torch.where(state["view"].unsqueeze(1), shown, 0)
        grid = torch.zeros(self.num_envs, self.cells, dtype=torch.int64, device=self.device)
        return {
            "agent": torch.stack([agent // self.size, agent % self.size], dim=1),
            "cubes": grid.scatter(1, state["cubes"], shown),
            "target": torch.where(looks, 1 + self._target(setups, state), 0),
        }

    def _target(self, setups: Setups, state: State) -> Tensor:
        return setups.at("target", state["phase"].clamp(max=self.phases - 1))

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        cubes, target, looks = state["cubes"], self._target(setups, state), state["moves"] < 0
        agent = torch.where(looks, state["agent"], self._walk(state["agent"], action))
        reached = ~looks & (agent == cubes.gather(1, target.unsqueeze(1)).squeeze(1))
        phase, moves = state["phase"] + reached, state["moves"] + 1

        other = setups.at("other", state["t"])
        other = other + (other >= target)  # any cube but the target
        strays = ~looks & ~reached & setups.at("teleports", state["t"]) & (self.cubes > 1)
        place = self._free_cell(cubes, setups.at("free", state["t"])).unsqueeze(1)
        which = torch.where(reached, target, other.clamp(max=self.cubes - 1)).unsqueeze(1)
        moved = (reached | strays).unsqueeze(1)
        cubes = torch.where(moved, cubes.scatter(1, which, place), cubes)

        success = phase == self.phases
        late = ~reached & (moves >= self.moves)
        after = {
            **state,
            "agent": agent,
            "cubes": cubes,
            "phase": phase,
            "moves": torch.where(reached, -1, moves),
            "view": reached | strays,
        }
        return Outcome(after, reached.float(), success, late, {"success": success.float()})

    def render(self, index: int = 0) -> NDArray[np.uint8] | None:
        if self._setups is None:
            return None
        state = self._state
        agent, target = state["agent"][index], self._target(self._setups, state)[index]
        return draw_cubes(self.size, state["cubes"][index].tolist(), int(agent), int(target))

    def _walk(self, agent: Tensor, action: Tensor) -> Tensor:
        row, column = agent // self.size, agent % self.size
        row = (row + (action == 1).long() - (action == 0).long()).clamp(0, self.size - 1)
        column = (column + (action == 3).long() - (action == 2).long()).clamp(0, self.size - 1)
        return row * self.size + column

    def _free_cell(self, cubes: Tensor, index: Tensor) -> Tensor:
        """The cell number ``index`` [B] among those without a cube, in reading order: [B]."""
        free = torch.ones(self.num_envs, self.cells, dtype=torch.int64, device=self.device)
        before = free.scatter(1, cubes, 0).cumsum(1)
        return (before > index.unsqueeze(1)).long().argmax(1)
