"""The grid with a goal: how it moves, what it pays, and what can be said of any other goal."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from memrl.envs import make
from memrl.envs.probes import Goal, TMaze, probe_card

B = 13


def towards(obs):
    """The action that closes the first gap to the goal."""
    gap = obs["desired_goal"] - obs["observation"]
    axis = gap.ne(0).long().argmax(1)
    return 2 * axis + (gap.gather(1, axis.unsqueeze(1)).squeeze(1) > 0)


def test_walking_straight_to_the_goal_succeeds_in_as_many_steps_as_it_is_away():
    env = Goal(B, size=4, dims=3)
    obs = env.reset(0)
    for _ in range(3 * env.limit):
        away = (obs["desired_goal"] - obs["observation"]).abs().sum(1)
        after = env.step(towards(obs))
        assert torch.equal(after.terminated, away == 1)
        assert torch.equal(after.reward, (away == 1).float())
        assert torch.equal(after.metrics["success"], after.reward)
        assert torch.equal(after.final_obs["observation"], after.final_obs["achieved_goal"])
        obs = after.obs


def test_every_pair_of_different_cells_is_dealt():
    obs = Goal(3000, size=2, dims=2).reset(1)
    cells = (
        (obs[name] @ torch.tensor([1, 2])).tolist() for name in ("observation", "desired_goal")
    )
    pairs = set(zip(*cells, strict=True))
    assert pairs == {(a, b) for a in range(4) for b in range(4) if a != b}


def test_walls_stop_and_time_truncates_at_the_distance_of_the_farthest_cells():
    env = Goal(B, size=3, dims=2)
    env.reset(2)
    for t in range(1, 5):
        after = env.step(torch.zeros(B, dtype=torch.int64))  # back along the first axis
        going = ~after.terminated
        if t >= 2:
            assert (after.final_obs["observation"][going, 0] == 0).all()
        assert after.truncated.all() == (t == 4)
        if after.terminated.any():
            return


def test_each_action_moves_along_its_own_axis():
    env = Goal(1, size=7, dims=3)
    for action in range(6):
        obs = env.reset(5)["observation"]
        moved = env.step(torch.tensor([action])).final_obs["observation"] - obs
        want = torch.zeros(1, 3, dtype=torch.int64)
        want[0, action // 2] = 1 if action % 2 else -1
        inside = ((obs + want) >= 0).all() and ((obs + want) < 7).all()
        assert torch.equal(moved, want if inside else torch.zeros_like(want))


def test_any_goal_would_have_paid_what_a_step_towards_it_pays():
    env = Goal(B, size=2, dims=2)
    env.reset(3)
    for _ in range(9):
        before = env._setups["goal"].clone()
        after = env.step(torch.randint(4, (B,), generator=torch.Generator().manual_seed(1)))
        reward, terminated = env.goal_reward(after.final_obs["achieved_goal"], before)
        assert torch.equal(reward, after.reward)
        assert torch.equal(terminated, after.terminated)


def test_goals_of_any_batch_shape_are_judged():
    goals = torch.tensor([[[0, 1], [2, 2]], [[1, 1], [0, 0]]])
    reward, reached = Goal(1, size=3, dims=2).goal_reward(goals, torch.tensor([1, 1]))
    assert reached.tolist() == [[False, False], [True, False]]
    assert torch.equal(reward, reached.float())


def longest_path_without_return(cell, size, dims, seen, wanted):
    """Whether ``wanted`` new cells can be met in as many steps."""
    if not wanted:
        return True
    for axis, by in product(range(dims), (-1, 1)):
        now = (*cell[:axis], cell[axis] + by, *cell[axis + 1 :])
        if 0 <= now[axis] < size and now not in seen:
            seen.add(now)
            if longest_path_without_return(now, size, dims, seen, wanted - 1):
                return True
            seen.discard(now)
    return False


@pytest.mark.parametrize(("size", "dims"), [(2, 2), (3, 2), (2, 3), (4, 2), (3, 3)])
def test_the_blind_meet_a_new_cell_at_every_step_from_wherever_they_begin(size, dims):
    env = Goal(1, size=size, dims=dims)
    for cell in product(range(size), repeat=dims):
        assert longest_path_without_return(cell, size, dims, {cell}, env.limit)
    assert env.levels.guess == env.limit / (size**dims - 1)


def test_chance_hardly_ever_finds_the_goal():
    env = make("probe/Goal-v0", 2000, seed=1)
    env.reset(1)
    successes, generator = 0.0, torch.Generator().manual_seed(2)
    for _ in range(20):
        after = env.step(torch.randint(10, (2000,), generator=generator))
        successes += float(after.reward.sum())
    assert successes / 2000 < probe_card("probe/Goal-v0").levels.guess < 0.01


def test_an_environment_without_goals_says_so():
    with pytest.raises(TypeError, match="TMaze has no goals"):
        TMaze(1).goal_reward(torch.zeros(1), torch.zeros(1))


def test_the_previous_action_hides_no_goals():
    env = make("probe/Goal-v0", 3, prev_action=True, size=3, dims=2)
    obs = env.reset(1)
    assert env.has_goals
    assert env.goal_reward(obs["desired_goal"], obs["desired_goal"])[1].all()


@pytest.mark.parametrize("options", [{"size": 1}, {"dims": 1}])
def test_impossible_options_are_refused_with_what_is_allowed(options):
    with pytest.raises(ValueError, match="allowed: at least 2 each"):
        Goal(2, **options)
