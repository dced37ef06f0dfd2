"""T-maze, delayed match, n-back, counting: who remembers wins, and who does not cannot."""

from __future__ import annotations

import pytest
import torch

from memrl.envs import make
from memrl.envs.make import card
from memrl.envs.probes import PROBES, Counting, DelayedMatch, NBack, Recall, TMaze, probe_card

B = 2003


def recall(history, env):
    return history[0].clamp(max=env.cues - 1)


def walk(history, env):
    return torch.where(history[-1] == 3, 1 + history[0], 0)


def match(history, env):
    return (history[-1] == history[0] + env.cues + 1).long()


def n_back(history, env):
    before = history[-1 - env.n] if len(history) > env.n else history[-1]
    return (history[-1] == before).long()


def count(history, env):
    return sum((seen == 1).long() for seen in history).clamp(max=env.most)


# Options of different sizes, and somebody who remembers everything that was seen.
TASKS = [
    (Recall, {"cues": 5, "delay": 2}, recall),
    (TMaze, {"length": 1}, walk),
    (TMaze, {"length": 7}, walk),
    (DelayedMatch, {"cues": 2, "delay": 0}, match),
    (DelayedMatch, {"cues": 5, "delay": 3}, match),
    (NBack, {"n": 1, "symbols": 2, "length": 2}, n_back),
    (NBack, {"n": 3, "symbols": 5, "length": 11}, n_back),
    (Counting, {"most": 1, "listen": 1}, count),
    (Counting, {"most": 4, "listen": 7}, count),
]
EACH = pytest.mark.parametrize(("build", "options", "policy"), TASKS)


def play(env, policy):
    """One episode of every copy: returns [B], observations [T, B], rewards [T, B] and the end."""
    obs = env.reset(3)["obs"]
    history, rewards = [], []
    for _ in range(100):
        history.append(obs)
        after = env.step(policy(history, env))
        rewards.append(after.reward)
        if after.ended.all():
            return sum(rewards), torch.stack(history), torch.stack(rewards), after
        assert not after.ended.any()
        obs = after.obs["obs"]
    raise AssertionError("no episode ended")


@EACH
def test_whoever_remembers_reaches_the_optimum(build, options, policy):
    env = build(B, **options)
    returns, _, _, after = play(env, policy)
    torch.testing.assert_close(returns, torch.full((B,), env.levels.optimum))
    assert after.terminated.all()
    if "success" in env.metric_names:
        assert (after.metrics["success"] == 1).all()


def answered(env, policy, constant):
    """What was seen when an answer was scored, and whether ``constant`` was right: both [K]."""
    _, history, rewards, _ = play(env, policy)
    scored = rewards > 0  # somebody who remembers is right whenever it counts
    assert scored.any(0).all()

    def stubborn(history, env):
        right = policy(history, env)
        final = history[-1] == 3 if isinstance(env, TMaze) else torch.ones(B, dtype=torch.bool)
        return torch.where(final, constant, right)

    _, again, earned, _ = play(env, stubborn)
    assert torch.equal(history, again)
    return history[scored], earned[scored] > 0


@EACH
def test_the_present_observation_tells_nothing(build, options, policy):
    env = build(B, **options)
    level = env.levels.memoryless
    assert level == env.levels.guess
    first = 1 if isinstance(env, TMaze) else 0
    for answer in range(first, int(env.action_space.n)):
        seen, right = answered(env, policy, answer)
        for symbol in seen.unique():
            share = right[seen == symbol].float()
            deviation = (level * (1 - level) / len(share)) ** 0.5
            assert abs(float(share.mean()) - level) < 5 * deviation


def test_a_t_maze_is_as_long_as_it_says_and_has_walls():
    env = TMaze(3, length=2, limit=9)
    side = env.reset(0)["obs"]
    assert side.max() <= 1
    bump = env.step(torch.tensor([1, 2, 0]))
    assert bump.obs["obs"].tolist() == [side[0], side[1], 2]
    for _ in range(3):
        after = env.step(torch.zeros(3, dtype=torch.int64))
    assert after.obs["obs"].tolist() == [3, 3, 3]  # walking on at the junction bumps as well
    assert not after.ended.any()
    after = env.step(torch.tensor([1, 2, 0]))
    assert after.terminated.tolist() == [True, True, False]
    assert after.reward.tolist() == [side[0] == 0, side[1] == 1, False]
    assert after.final_obs["obs"].tolist() == [3, 3, 3]
    for _ in range(4):
        after = env.step(torch.zeros(3, dtype=torch.int64))
    assert after.truncated.tolist() == [False, False, True]
    assert not after.terminated.any()


def test_time_in_a_t_maze_is_four_times_the_best_way():
    assert TMaze(1, length=3).limit == 4 * 4


def test_a_test_that_does_not_match_is_any_other_sample():
    env = DelayedMatch(B, cues=5, delay=1)
    _, history, _, _ = play(env, match)
    apart = (history[-1] - 6 - history[0]) % 5
    share = apart[apart > 0].bincount(minlength=5)[1:] / (apart > 0).sum()
    assert share.allclose(torch.full((4,), 0.25), atol=0.06)


def test_n_back_pays_nothing_before_there_is_something_to_compare():
    env = NBack(B, n=3, symbols=4, length=5)
    env.reset(0)
    for _ in range(3):
        assert not env.step(torch.randint(2, (B,))).reward.any()
    assert env.step(torch.ones(B, dtype=torch.int64)).reward.unique().tolist() == [0, 0.5]


def test_half_of_the_symbols_repeat_and_all_are_uniform():
    env = NBack(B, n=2, symbols=3, length=9)
    _, history, _, _ = play(env, n_back)
    assert (history[2:] == history[:-2]).float().mean() == pytest.approx(0.5, abs=0.02)
    for symbols in history:
        assert (symbols.bincount() / B).allclose(torch.full((3,), 1 / 3), atol=0.06)


def test_ticks_come_at_any_time_and_in_any_number():
    env = Counting(B, most=4, listen=7)
    _, history, _, _ = play(env, count)
    ticks = history[:-1] == 1
    assert (ticks.sum(0).bincount() / B).allclose(torch.full((5,), 0.2), atol=0.05)
    assert ticks.float().mean(1).allclose(torch.full((7,), 2 / 7), atol=0.05)
    assert (history[-1] == 2).all()


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (TMaze, {"length": 0}),
        (TMaze, {"length": 5, "limit": 5}),
        (DelayedMatch, {"cues": 1}),
        (DelayedMatch, {"delay": -1}),
        (NBack, {"n": 0}),
        (NBack, {"symbols": 1}),
        (NBack, {"n": 4, "length": 4}),
        (Counting, {"most": 0}),
        (Counting, {"most": 5, "listen": 4}),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(build, options):
    with pytest.raises(ValueError, match="allowed"):
        build(2, **options)


def test_levels_follow_the_options():
    assert card("probe/Recall-v0", cues=8).levels.memoryless == 1 / 8
    assert card("probe/Counting-v0", most=4).levels.guess == 1 / 5
    assert card("probe/Masked-v0", actions=2, length=1).levels.guess == 3 / 4
    assert card("probe/Pixels-v0", length=2).levels.guess == 1 / 16


def test_a_previous_action_may_carry_the_answer_and_then_nothing_is_claimed():
    plain, shown = probe_card("probe/Recall-v0"), probe_card("probe/Recall-v0", prev_action=True)
    assert (plain.memory, shown.memory) == ("strict", None)
    assert shown.levels.memoryless is None
    env = make("probe/Recall-v0", B, seed=1, prev_action=True)
    obs = env.reset()
    for _ in range(5):  # a policy without memory that writes the cue into its actions
        action = torch.where(obs["obs"] < 4, obs["obs"], obs["prev_action"])
        after = env.step(action.clamp(max=3))
        obs = after.obs
    assert (after.reward == 1).all()
    # A corridor leaves no choice: its walker has just walked, whatever the cue was.
    assert probe_card("probe/TMaze-v0", prev_action=True) == probe_card("probe/TMaze-v0")


def test_a_previous_action_that_betrays_a_symbol_beats_the_blind_n_back():
    """After a 0 the last action is 0 or 1, after a 1 always 1: two of three answers are right."""
    options = {"n": 1, "symbols": 2, "length": 101, "prev_action": True}
    env = make("probe/NBack-v0", B, **options)
    obs, total = env.reset(1), torch.zeros(B)
    for _ in range(101):  # a policy without memory
        after = env.step((obs["obs"] | (obs["prev_action"] != 1)).long())
        obs, total = after.obs, total + after.reward
    assert total.mean() > 0.65
    assert probe_card("probe/NBack-v0").levels.memoryless == 0.5
    assert probe_card("probe/NBack-v0", prev_action=True).levels.memoryless is None


@pytest.mark.parametrize("id", PROBES)
def test_symbols_and_actions_have_as_many_names_as_there_are(id):
    env, known = make(id), card(id)
    if known.symbols:
        assert len(known.symbols) == env.observation_space["obs"].n
    if known.actions:
        assert len(known.actions) == env.action_space.n
