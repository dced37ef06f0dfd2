"""Bandit, DarkRoom and DarkKeyToDoor: plain loops play the same, and levels hold."""

from __future__ import annotations

import pytest
import torch

from memrl.envs import Trials
from memrl.envs.probes import Bandit, DarkKeyToDoor, DarkRoom

B = 2003
MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


def test_arms_pay_with_their_chances():
    env = Bandit(B, arms=3)
    env.reset(1)
    env.keep_task(torch.ones(B, dtype=torch.bool))
    chance, paid = env.chances()[:, 0], torch.zeros(B, 3)
    for pull in range(300):
        paid[:, pull % 3] += env.step(torch.full((B,), pull % 3)).reward
    assert float((paid / 100 - chance).abs().max()) < 0.25  # five standard deviations
    assert float((paid / 100 - chance).mean().abs()) < 0.003


@pytest.mark.parametrize("contexts", [1, 2, 7])
def test_regret_and_best_are_told_of_the_pull_in_its_context(contexts):
    env, generator = Bandit(13, arms=5, contexts=contexts), torch.Generator().manual_seed(2)
    obs = env.reset(1)["obs"]
    for _ in range(11):
        chance = env.chances()
        assert chance.shape == (13, contexts, 5)
        action = torch.randint(5, (13,), generator=generator)
        after = env.step(action)
        for b in range(13):
            of_context = chance[b, int(obs[b])].tolist()
            regret = max(of_context) - of_context[int(action[b])]
            assert float(after.metrics["regret"][b]) == pytest.approx(regret)
            assert float(after.metrics["best"][b]) == (regret == 0)
        assert after.terminated.all()
        assert torch.equal(after.final_obs["obs"], obs)
        obs = after.obs["obs"]


def test_a_context_changes_within_a_task_and_its_chances_do_not():
    env = Bandit(B, arms=2, contexts=3)
    obs = env.reset(0)["obs"]
    env.keep_task(torch.ones(B, dtype=torch.bool))
    chance = env.chances()
    later = env.step(torch.zeros(B, dtype=torch.long)).obs["obs"]
    assert torch.equal(env.chances(), chance)
    assert float((later == obs).float().mean()) == pytest.approx(1 / 3, abs=0.05)
    assert torch.equal(obs.unique(), torch.arange(3))


def test_who_knows_a_bandit_earns_its_level():
    env = Bandit(B, arms=4)
    env.reset(3)
    best = env.chances()[:, 0]
    assert float(best.amax(1).mean()) == pytest.approx(env.known_task, abs=0.02)
    assert float(best.mean()) == pytest.approx(env.levels.optimum, abs=0.02)


class Room:
    """A dark room, cell by cell; goals are reached in their order."""

    def __init__(self, goals, size, length, *, again):
        self.goals, self.size, self.length, self.again = goals, size, length, again
        self.cell, self.found, self.time = (size // 2, size // 2), 0, 0

    def step(self, action):
        self.time += 1
        moved = tuple(at + by for at, by in zip(self.cell, MOVES[action], strict=True))
        if all(0 <= at < self.size for at in moved):
            self.cell = moved
        reward = 0.0
        if self.again:
            reward = float(self.cell == self.goals[0])
            self.found = self.found or int(reward)
        elif self.found < 2 and self.cell == self.goals[self.found]:
            self.found, reward = self.found + 1, 1.0
        return reward, self.found == len(self.goals), self.time == self.length


@pytest.mark.parametrize(("build", "again"), [(DarkRoom, True), (DarkKeyToDoor, False)])
@pytest.mark.parametrize("size", [3, 4])
def test_a_dark_room_is_the_loop_of_its_definition(build, again, size):
    env, generator = build(31, size=size, length=23), torch.Generator().manual_seed(7)
    env.reset(3)
    found = 0.0
    for _ in range(3):  # episodes
        goals = [[tuple(goal) for goal in row] for row in env._current_setups()["goal"].tolist()]
        rooms = [Room(row, size, 23, again=again) for row in goals]
        assert all(len({*row, rooms[0].cell}) == len(row) + 1 for row in goals)
        for _ in range(23):
            action = torch.randint(5, (31,), generator=generator)
            after = env.step(action)
            done = [room.step(int(a)) for room, a in zip(rooms, action, strict=True)]
            assert after.reward.tolist() == [reward for reward, _, _ in done]
            assert after.terminated.tolist() == [ended for _, _, ended in done]
            assert after.final_obs["obs"].tolist() == [list(room.cell) for room in rooms]
        assert after.metrics["success"].tolist() == [float(success) for _, success, _ in done]
        assert (after.obs["obs"] == size // 2).all()
        found += float(after.metrics["success"].mean())
    assert 0 < found < 3


def towards(cell, goal):
    """The action that moves from a cell to a goal, first along x; 0 on it."""
    x, y = (goal - cell).unbind(1)
    along_y = torch.where(y < 0, 3, torch.where(y > 0, 4, 0))
    return torch.where(x < 0, 1, torch.where(x > 0, 2, along_y))


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (DarkRoom, {}),
        (DarkRoom, {"size": 4, "length": 3}),
        (DarkKeyToDoor, {"size": 5}),
        (DarkKeyToDoor, {"size": 5, "length": 5}),
    ],
)
def test_who_knows_a_dark_room_earns_its_level(build, options):
    env = build(B, **options)
    cell = env.reset(1)["obs"]
    goals, found = env._current_setups()["goal"], torch.zeros(B, dtype=torch.long)
    total = torch.zeros(B)
    for _ in range(env.length):
        wanted = goals[torch.arange(B), found.clamp(max=env.goals - 1)]
        after = env.step(towards(cell, wanted))
        total += after.reward
        found += after.reward.long() if env.goals > 1 else 0
        cell = after.obs["obs"]
    error = 4 * float(total.std()) / B**0.5
    assert float(total.mean()) == pytest.approx(env.known_task, abs=error + 1e-4)


def test_a_goal_is_any_cell_but_the_start():
    env = DarkRoom(B, size=3)
    env.reset(0)
    drawn = {tuple(goal) for goal in env._current_setups()["goal"][:, 0].tolist()}
    assert drawn == {(x, y) for x in range(3) for y in range(3)} - {(1, 1)}


def test_who_finds_the_goal_in_the_first_episode_of_a_trial_earns_more_in_the_last():
    env = Trials(DarkRoom(B, size=3, length=9), episodes=2)
    env.reset(2)
    found = torch.zeros(B)
    for action in (1, 3, 2, 2, 4, 4, 1, 1, 3):  # around the start
        after = env.step(torch.full((B,), action))
        found += after.reward
    assert after.obs["prev_done"].all()
    assert (found > 0).all()
    goal = env.env._current_setups()["goal"][:, 0]  # the one that was found
    for _ in range(9):
        after = env.step(towards(after.obs["obs"], goal))
    assert after.terminated.all()
    assert after.metrics["first_return"].unique().tolist() == [1, 2]
    assert float(after.metrics["last_return"].mean()) == pytest.approx(8.5, abs=0.05)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (Bandit, {"arms": 1}),
        (Bandit, {"contexts": 0}),
        (DarkRoom, {"size": 1}),
        (DarkKeyToDoor, {"length": 0}),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(build, options):
    with pytest.raises(ValueError, match="allowed"):
        build(2, **options)
