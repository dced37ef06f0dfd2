"""EndlessTMaze and ColorCubes: a plain loop plays the same, and levels hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memrl.envs.probes import ColorCubes, EndlessTMaze, probe_card
from memrl.envs.probes.cubes_picture import cube_colour

B = 2003


def drawn(env):
    """What each environment has drawn for its present episode, as arrays [B, ...]."""
    state = env.state_dict()
    return {name: table[state["row"]].numpy() for name, table in state["tables"].items()}


def replay(env, loop, actions):
    """Step ``env`` and one ``loop`` per environment side by side; the number of ended episodes."""

    def begin():
        setups = drawn(env)
        return [
            loop({name: each[b] for name, each in setups.items()}, env) for b in range(env.num_envs)
        ]

    def check(obs):
        want = [one.obs() for one in loops]
        for name, values in obs.items():
            np.testing.assert_allclose(values, [each[name] for each in want], rtol=1e-6)

    obs, ended = env.reset(3), 0
    loops = begin()
    for action in actions:
        check(obs)
        after = env.step(action)
        told = [one.step(a) for one, a in zip(loops, action.tolist(), strict=True)]
        results = after.reward, after.terminated, after.truncated, after.metrics["success"]
        np.testing.assert_allclose(torch.stack([each.float() for each in results], 1), told, 1e-6)
        check(after.final_obs)
        if after.ended.any():
            pairs = zip(after.ended.tolist(), begin(), loops, strict=True)
            loops = [new if over else old for over, new, old in pairs]
            ended += int(after.ended.sum())
        obs = after.obs
    return ended


class Corridors:
    """One endless T-maze, cell by cell."""

    def __init__(self, setup, env):
        self.sides, self.ends = setup["side"], setup["end"]
        self.length, self.n = env.length, env.corridors
        self.corridor = self.cell = self.time = 0

    def obs(self):
        cue = [0.0, 0.0]
        if self.cell == 0:
            cue[self.sides[self.corridor]] = 1.0
        return {"obs": [self.cell / self.length, *cue]}

    def step(self, action):
        self.time += 1
        late = self.time == 6 * (self.length + 1) * self.n
        if self.cell < self.ends[self.corridor]:
            self.cell += action == 0
            return -0.01, False, late, False
        if action != 1 + self.sides[self.corridor]:
            return -1.0, True, late, False
        if self.corridor == self.n - 1:
            return 1.0, True, late, True
        self.corridor, self.cell = self.corridor + 1, 0
        return 1.0, False, late, False


@pytest.mark.parametrize("lengths", ["fixed", "uniform"])
@pytest.mark.parametrize(("length", "corridors"), [(1, 1), (3, 2), (2, 5)])
def test_an_endless_t_maze_is_the_loop_of_its_definition(length, corridors, lengths):
    env = EndlessTMaze(11, length=length, corridors=corridors, lengths=lengths)
    generator = torch.Generator().manual_seed(7)
    turns = torch.randint(2, (83, 11), generator=generator)
    actions = torch.randint(3, (83, 11), generator=generator) * turns  # two of three walk on
    assert replay(env, Corridors, actions) > 11


def test_who_stands_still_in_an_endless_t_maze_is_stopped():
    env = EndlessTMaze(3, length=1, corridors=2)
    env.reset(0)
    left = torch.ones(3, dtype=torch.int64)
    steps = [env.step(left) for _ in range(24)]
    assert not any(each.ended.any() for each in steps[:-1])
    assert steps[-1].truncated.all()


def explore(env, side):
    """One episode of somebody who tries a turn in every cell before it walks on.

    ``side(cue, last)`` names the turn of a new corridor, of its cue and the one before: [B].
    """
    obs = env.reset(5)["obs"]
    tried = torch.ones(B, dtype=torch.bool)  # nobody turns in a first cell
    turn, running = torch.zeros(B, dtype=torch.int64), torch.ones(B, dtype=torch.bool)
    cue, success, total = turn.clone(), torch.zeros(B), torch.zeros(B)
    for _ in range(env.limit):
        first = obs[:, 1:].any(1)
        before, cue = cue, torch.where(first, obs[:, 2].long(), cue)
        turn = torch.where(first, side(cue, before), turn)
        last = obs[:, 0] == 1
        probes = last if env.fixed else last | ~tried
        after = env.step(torch.where(probes & ~first, 1 + turn, 0))
        tried = ~first & probes
        total += torch.where(running, after.reward, 0)
        success += running * after.metrics["success"] * after.ended
        running &= ~after.ended
        obs = after.obs["obs"]
        if not running.any():
            return success, total
    raise AssertionError("an episode did not end")


def keep(cue, before):
    return cue


@pytest.mark.parametrize("lengths", ["fixed", "uniform"])
@pytest.mark.parametrize(("length", "corridors"), [(1, 2), (5, 3)])
def test_who_rewrites_the_cue_passes_every_corridor(length, corridors, lengths):
    env = EndlessTMaze(B, length=length, corridors=corridors, lengths=lengths)
    success, total = explore(env, keep)
    assert (success == env.levels.optimum).all()
    if env.fixed:
        torch.testing.assert_close(total, torch.full((B,), corridors * (1 - 0.01 * length)))


def wait_for_left(frames):
    """An action of an agent that sees its last frames: it waits once in each cell for *left*."""
    here = sum(place == frames[-1][0] for place, *_ in frames)
    (place, left, _), before = frames[-1], [place for place, *_ in frames[:-here]]
    left = left == 1 or (place > 0 and (here > 1 or before.count(before[-1]) > 1))
    if place == 1:
        return 1 if left else 2
    return 1 if left and here == 1 else 0


def test_four_frames_carry_the_cue_through_any_corridor_by_waiting():
    """A turn before the end has no effect, so that a window of frames is no strict control."""
    env = EndlessTMaze(13, length=7, corridors=3)
    obs = env.reset(2)["obs"]
    frames, ended = [[row] for row in obs.tolist()], 0
    for _ in range(101):
        after = env.step(torch.tensor([wait_for_left(seen) for seen in frames]))
        assert (after.terminated == (after.metrics["success"] == 1)).all()
        ended += int(after.ended.sum())
        shown = zip(frames, after.obs["obs"].tolist(), after.ended.tolist(), strict=True)
        frames = [[row] if over else [*seen[-3:], row] for seen, row, over in shown]
    assert ended > 13


@pytest.mark.parametrize("lengths", ["fixed", "uniform"])
@pytest.mark.parametrize(
    "side",
    [
        lambda cue, before: torch.zeros_like(cue),
        lambda cue, before: torch.randint_like(cue, 2),
        lambda cue, before: before,  # the cue of the last corridor says nothing of this one
    ],
)
def test_who_does_not_use_the_cue_passes_half_of_the_corridors(side, lengths):
    env = EndlessTMaze(B, length=3, corridors=2, lengths=lengths)
    level = env.levels.guess
    assert level == 1 / 4
    success, _ = explore(env, side)
    assert float(success.mean()) == pytest.approx(level, abs=5 * (level * (1 - level) / B) ** 0.5)


def test_the_end_of_a_corridor_of_uniform_length_looks_like_any_cell():
    env = EndlessTMaze(B, length=4, lengths="uniform")
    env.reset(0)
    seen = env.step(torch.zeros(B, dtype=torch.int64)).obs["obs"]
    assert (seen == torch.tensor([0.25, 0, 0])).all()
    ends = drawn(env)["end"]
    assert np.bincount(ends.ravel(), minlength=5)[1:].min() > 0.23 * ends.size
    assert env.levels.memoryless is None
    assert EndlessTMaze(1).levels.memoryless == 1 / 8


class Grid:
    """One Color-Cubes, cell by cell."""

    MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))

    def __init__(self, setup, env):
        self.setup, self.env = setup, env
        self.cubes, self.agent = list(setup["cubes"]), int(setup["agent"])
        self.time = self.phase = 0
        self.open_phase()

    def open_phase(self):
        self.moves, self.view, self.looks = 0, True, True
        self.target = int(self.setup["target"][min(self.phase, self.env.phases - 1)])

    def obs(self):
        size, n = self.env.size, self.env.cubes
        grid = [0] * size**2
        if self.view:
            coloured = self.env.colours or (self.looks and self.phase == 0)
            for cube, cell in enumerate(self.cubes):
                grid[cell] = cube + 1 if coloured else n + 1
        told = self.target + 1 if self.looks else 0
        return {"agent": divmod(self.agent, size), "cubes": grid, "target": told}

    def teleport(self, cube):
        free = [cell for cell in range(self.env.size**2) if cell not in self.cubes]
        self.cubes[cube] = free[self.setup["free"][self.time]]

    def step(self, action):
        reward = 0.0
        if self.looks:
            self.looks = self.view = False
        else:
            reward = self.move(action)
        self.time += 1
        success = self.phase == self.env.phases
        late = not self.looks and self.moves == 2 * (self.env.size - 1)
        return reward, success, late, success

    def move(self, action):
        size = self.env.size
        row, column = divmod(self.agent, size)
        row, column = row + self.MOVES[action][0], column + self.MOVES[action][1]
        self.moves, self.view = self.moves + 1, False
        if 0 <= row < size and 0 <= column < size:
            self.agent = row * size + column
        if self.agent == self.cubes[self.target]:
            self.teleport(self.target)
            self.phase += 1
            self.open_phase()
            return 1.0
        others = [cube for cube in range(self.env.cubes) if cube != self.target]
        if others and self.setup["teleports"][self.time]:
            self.teleport(others[self.setup["other"][self.time]])
            self.view = True
        return 0.0


CUBES = [
    {"level": "trivial", "size": 3},
    {"level": "trivial", "size": 2, "phases": 3},
    {"level": "medium", "size": 3, "cubes": 5, "phases": 2, "teleport": 0.5},
    {"level": "extreme", "size": 4, "cubes": 3, "phases": 7, "teleport": 0.3},
    {"level": "extreme", "size": 2, "cubes": 3, "phases": 2, "teleport": 1.0},
]


@pytest.mark.parametrize("options", CUBES)
def test_color_cubes_is_the_loop_of_its_definition(options):
    env = ColorCubes(11, **options)
    generator = torch.Generator().manual_seed(5)
    assert replay(env, Grid, torch.randint(4, (83, 11), generator=generator)) > 11


class Map:
    """A perfect memory: the cell of every cube, as far as the views tell, and the target."""

    def __init__(self, env):
        self.size, self.n = env.size, env.cubes
        self.cubes, self.target = [-1] * env.cubes, 0

    def update(self, agent, grid, told):
        self.agent, self.target = agent, told - 1 if told else self.target
        seen = {cell: mark for cell, mark in enumerate(grid) if mark}
        if any(mark <= self.n for mark in seen.values()):
            for cell, mark in seen.items():
                self.cubes[mark - 1] = cell
        elif seen:  # without colours: the cube that is missing is where nothing was
            (gone,), (new,) = set(self.cubes) - set(seen), set(seen) - set(self.cubes)
            self.cubes[self.cubes.index(gone)] = new

    def action(self):
        row, column = divmod(self.cubes[self.target], self.size)
        if row != self.agent[0]:
            return int(row > self.agent[0])
        return 3 if column > self.agent[1] else 2


@pytest.mark.parametrize("level", ["trivial", "medium", "extreme"])
def test_who_keeps_a_map_of_the_cubes_finds_every_target(level):
    env = ColorCubes(31, level=level)
    obs, maps = env.reset(1), [Map(env) for _ in range(31)]
    total, running = torch.zeros(31), torch.ones(31, dtype=torch.bool)
    for _ in range(env.phases * (env.moves + 1)):
        for b in running.nonzero().flatten().tolist():
            maps[b].update(*(obs[name][b].tolist() for name in ("agent", "cubes", "target")))
        after = env.step(torch.tensor([one.action() for one in maps]))
        total += torch.where(running, after.reward, 0)
        assert (after.metrics["success"][running & after.ended] == env.levels.optimum).all()
        running, obs = running & ~after.ended, after.obs
    assert not running.any()
    assert (total == env.phases).all()


def tour(size):
    """The action of each cell of a walk that enters every cell: through all of an even grid."""
    up, down, left, right = range(4)
    action = torch.empty(size, size, dtype=torch.int64)
    for row in range(size):
        action[row, 1:] = right if row % 2 == 0 else left
        action[row, -1 if row % 2 == 0 else 1] = down
    action[:, 0], action[0, 0] = up, right
    action[-1, 1] = left
    return action.flatten()


@pytest.mark.parametrize(
    "options",
    [
        {"size": 6},
        {"size": 4, "phases": 2},
        {"level": "medium", "size": 4, "phases": 2, "teleport": 0.3},
        {"level": "extreme", "size": 4, "cubes": 7, "phases": 2, "teleport": 0.0},
    ],
)
def test_a_walk_through_all_cells_is_as_good_as_blind_walkers_get(options):
    env = ColorCubes(B, **options)
    level, action = env.levels.guess, tour(env.size)
    assert level == (env.moves / (env.cells - 1)) ** env.phases
    obs, success, done = env.reset(1), torch.zeros(B), torch.zeros(B, dtype=torch.bool)
    for _ in range(env.phases * (env.moves + 1)):
        row, column = obs["agent"].unbind(1)
        after = env.step(action[row * env.size + column])  # sees its own cell and nothing else
        success += ~done * after.ended * after.metrics["success"]
        done, obs = done | after.ended, after.obs
    assert done.all()
    assert float(success.mean()) == pytest.approx(level, abs=5 * (level * (1 - level) / B) ** 0.5)


def test_where_a_view_comes_during_a_phase_no_memoryless_level_is_claimed():
    trivial = probe_card("probe/ColorCubes-v0").levels
    assert trivial.memoryless == trivial.guess == 2 / 7
    assert probe_card("probe/ColorCubes-v0", level="medium").levels.memoryless is None
    assert probe_card("probe/ColorCubes-v0", level="medium", phases=3).levels.guess is None
    still = probe_card("probe/ColorCubes-v0", level="extreme", phases=2, teleport=0.0)
    assert still.levels.memoryless == 4 / 49
    assert probe_card("probe/ColorCubes-v0", prev_action=True).levels.memoryless is None


def test_a_previous_action_tells_nothing_of_a_cue_before():
    told = probe_card("probe/EndlessTMaze-v0", prev_action=True)
    assert told == probe_card("probe/EndlessTMaze-v0")
    assert told.memory == "strict"


def test_every_colour_is_asked_for_and_every_cell_is_a_start():
    env = ColorCubes(B, level="medium", size=4)
    env.reset(0)
    setups = drawn(env)
    assert (np.bincount(setups["target"].ravel()) / setups["target"].size).min() > 0.23
    assert (np.bincount(setups["agent"]) / B).min() > 0.04
    first = np.take_along_axis(setups["cubes"], setups["target"][:, :1], axis=1)[:, 0]
    assert (first != setups["agent"]).all()


def test_a_picture_shows_every_cube_the_agent_and_the_target_also_where_no_view_is():
    env = ColorCubes(3, level="extreme", size=5)
    assert env.render() is None
    env.reset(0)
    env.step(torch.zeros(3, dtype=torch.int64))  # the look is over
    loop = Grid({name: each[1] for name, each in drawn(env).items()}, env)
    picture = env.render(1)
    assert picture[0, 0].tolist() == list(cube_colour(loop.target, 4))
    centres = picture[16::24, 16::24]  # a frame of 4 pixels, and half a cell of 24
    corners = picture[9::24, 9::24][:5, :5]  # of cubes, outside of the agent's disc
    for cell in range(25):
        there = [cube for cube, place in enumerate(loop.cubes) if place == cell]
        colour = list(cube_colour(there[0], 4)) if there else [255, 255, 255]
        assert corners[divmod(cell, 5)].tolist() == colour
        assert centres[divmod(cell, 5)].tolist() == ([0, 0, 0] if cell == loop.agent else colour)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (EndlessTMaze, {"length": 0}),
        (EndlessTMaze, {"corridors": 0}),
        (ColorCubes, {"size": 1}),
        (ColorCubes, {"cubes": 0}),
        (ColorCubes, {"size": 3, "cubes": 9}),
        (ColorCubes, {"phases": 0}),
        (ColorCubes, {"teleport": 1.5}),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(build, options):
    with pytest.raises(ValueError, match="allowed"):
        build(2, **options)
