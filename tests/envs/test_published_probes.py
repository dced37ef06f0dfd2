"""The passive T-maze and key-value recall: a plain loop plays the same, and levels hold."""

from __future__ import annotations

import pytest
import torch

from memrl.envs.probes import KeyValue, PassiveTMaze

B = 2003


class Walker:
    """One passive T-maze, cell by cell."""

    MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))

    def __init__(self, goal, length):
        self.goal, self.length = goal, length
        self.x = self.y = self.time = 0
        self.cells = {(x, 0) for x in range(length + 1)} | {(length, 1), (length, -1)}

    def obs(self):
        if self.time == 0:
            return [float(self.x == self.length), float(self.goal)]
        return [1.0, float(self.y)] if self.x == self.length else [0.0, 0.0]

    def step(self, action):
        self.time += 1
        cell = self.x + self.MOVES[action][0], self.y + self.MOVES[action][1]
        if cell in self.cells:
            self.x, self.y = cell
        if self.time == self.length + 1:
            return float(self.y == self.goal), True
        return (-1 / self.length if self.x < self.time else 0.0), False


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_passive_t_maze_is_the_loop_of_its_definition(length):
    env, generator = PassiveTMaze(31, length=length), torch.Generator().manual_seed(7)
    obs = env.reset(3)["obs"]
    walkers = [Walker(int(goal), length) for goal in obs[:, 1]]
    for _ in range(4 * (length + 1)):
        # Walks right twice as often as elsewhere, so that it reaches the junction.
        action = torch.randint(5, (31,), generator=generator).clamp(min=1) - 1
        after = env.step(action)
        done = [walker.step(int(a)) for walker, a in zip(walkers, action, strict=True)]
        assert after.reward.tolist() == pytest.approx([reward for reward, _ in done])
        assert after.terminated.tolist() == [ended for _, ended in done]
        for b, (walker, (_, ended)) in enumerate(zip(walkers, done, strict=True)):
            if ended:
                walkers[b] = Walker(int(after.obs["obs"][b, 1]), length)
            else:
                assert after.obs["obs"][b].tolist() == walker.obs()


def walk(length, turn):
    """The return of everybody who walks right, and then as ``turn`` says of the first row."""
    env = PassiveTMaze(B, length=length)
    row, total = env.reset(1)["obs"][:, 1], torch.zeros(B)
    for _ in range(length):
        after = env.step(torch.zeros(B, dtype=torch.int64))
        total += after.reward
    assert (after.obs["obs"] == torch.tensor([1.0, 0.0])).all()
    after = env.step(turn(row))
    assert after.terminated.all()
    return total + after.reward, after.metrics["success"]


def test_who_remembers_the_row_wins_a_passive_t_maze_and_who_guesses_wins_half():
    returns, success = walk(7, lambda row: torch.where(row == 1, 1, 3))
    assert (returns == 1).all()
    assert (success == 1).all()
    guessed, _ = walk(7, lambda row: torch.ones(B, dtype=torch.int64))
    assert float(guessed.mean()) == pytest.approx(0.5, abs=0.05)


def test_standing_still_in_a_passive_t_maze_costs_one():
    env = PassiveTMaze(3, length=4)
    env.reset(0)
    left = torch.full((3,), 2)
    total = sum(env.step(left).reward for _ in range(5))
    torch.testing.assert_close(total, torch.full((3,), -1.0))


def answers(env, remember):
    """One episode; ``remember`` of the pairs so far, [t, B, 2], and a key gives an answer."""
    obs, shown, total = env.reset(5)["obs"], [], torch.zeros(B)
    for t in range(2 * env.pairs):
        if t < env.pairs:
            assert (obs[:, 1] < env.values).all()
            shown.append(obs)
            action = torch.zeros(B, dtype=torch.int64)
        else:
            assert (obs[:, 1] == env.values).all()
            action = remember(torch.stack(shown), obs[:, 0])
        after = env.step(action)
        total += after.reward
        obs = after.obs["obs"]
    assert after.terminated.all()
    return total, torch.stack(shown)


def test_after_the_end_the_last_question_stands_there_again():
    env = KeyValue(3, pairs=1)
    env.reset(0)
    for _ in range(5):  # episodes; the tables hold no further question
        asked = env.step(torch.zeros(3, dtype=torch.int64)).obs["obs"]
        after = env.step(torch.zeros(3, dtype=torch.int64))
        assert after.ended.all()
        assert torch.equal(after.final_obs["obs"], asked)


def look_up(pairs, key):
    found = (pairs[:, :, 0] == key).long().argmax(0)
    return pairs[:, :, 1].gather(0, found.unsqueeze(0)).squeeze(0)


@pytest.mark.parametrize("options", [{}, {"pairs": 7, "values": 3}, {"pairs": 3, "keys": 11}])
def test_who_keeps_the_pairs_answers_all_and_who_guesses_one_in_values(options):
    env = KeyValue(B, **options)
    total, shown = answers(env, look_up)
    torch.testing.assert_close(total, torch.ones(B))
    guessed, _ = answers(env, lambda pairs, key: torch.ones(B, dtype=torch.int64))
    assert float(guessed.mean()) == pytest.approx(env.levels.guess, abs=0.03)
    keys = shown[:, :, 0].sort(dim=0).values
    assert (keys.diff(dim=0) > 0).all()  # no key twice
    assert (keys < env.keys).all()
    last = shown[-1]
    seen, _ = answers(env, lambda pairs, key: last[:, 1])
    if env.pairs > 2:  # the order of questions says nothing: one pair answers one question
        alone = 1 / env.pairs + (1 - 1 / env.pairs) / env.values
        assert float(seen.mean()) == pytest.approx(alone, abs=0.04)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (PassiveTMaze, {"length": 0}),
        (KeyValue, {"pairs": 0}),
        (KeyValue, {"values": 1}),
        (KeyValue, {"pairs": 3, "keys": 2}),
        (KeyValue, {"keys": -1}),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(build, options):
    with pytest.raises(ValueError, match="allowed"):
        build(2, **options)
