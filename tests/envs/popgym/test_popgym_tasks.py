"""What is dealt, and how the card and board tasks are played: facts that need no package."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector.utils import batch_space
from torch.utils._python_dispatch import TorchDispatchMode

from memrl.envs import make
from memrl.envs.popgym.cards import shuffle, symbols
from memrl.envs.popgym.count_recall import count
from memrl.envs.popgym.fleets import FleetSampler
from memrl.envs.popgym.minesweeper import choose
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS


def assert_distributed(counts: Counter, chances: dict[Any, float]) -> None:
    """Chi-square within five standard deviations of its mean, nothing impossible drawn."""
    assert set(counts) <= set(chances)
    total = sum(counts.values())
    square = sum((counts[key] - total * p) ** 2 / (total * p) for key, p in chances.items())
    freedom = len(chances) - 1
    assert square < freedom + 5 * (2 * freedom) ** 0.5


def rows(values: torch.Tensor) -> Counter:
    return Counter(tuple(row) for row in values.tolist())


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("kinds", "decks", "first"),
    [(2, 1, [0, 1, 0, 1, 0]), (4, 2, [0, 1, 2, 3, 0]), (13, 3, [0, 0, 0, 0, 1])],
)
def test_a_sorted_deck_holds_every_face_equally_often(kinds, decks, first):
    faces = symbols(kinds, decks)
    assert faces[:5].tolist() == first
    assert faces.bincount().tolist() == [52 * decks // kinds] * kinds


def test_every_order_of_a_deck_is_equally_likely():
    drawn = shuffle(torch.arange(4, dtype=torch.uint8), 24_000, generator())
    assert_distributed(rows(drawn), dict.fromkeys(itertools.permutations(range(4)), 1 / 24))


def test_a_shuffled_deck_holds_the_same_cards():
    faces = symbols(13, 2)
    drawn = shuffle(faces, 7, generator())
    assert torch.equal(drawn.sort(1).values, faces.sort().values.expand(7, -1))
    assert len(rows(drawn)) == 7


@pytest.mark.parametrize(("chosen", "among"), [(1, 3), (2, 5), (3, 5), (4, 4)])
def test_every_set_of_mines_is_equally_likely(chosen, among):
    drawn = choose(20_000, chosen, among, generator()).sort(1).values
    sets = list(itertools.combinations(range(among), chosen))
    counts = rows(drawn)
    if len(sets) == 1:
        assert counts == {sets[0]: 20_000}
    else:
        assert_distributed(counts, dict.fromkeys(sets, 1 / len(sets)))


def test_fleets_are_as_likely_as_by_trying_places_until_one_is_free():
    side, ships = 3, (2, 3)

    def ends(ship):  # cells of a ship that starts anywhere and goes in one of four directions
        for x, y, (dx, dy) in itertools.product(
            range(side), range(side), [(1, 0), (-1, 0), (0, 1), (0, -1)]
        ):
            cells = [(x + i * dx, y + i * dy) for i in range(ship)]
            if all(0 <= c < side for cell in cells for c in cell):
                yield frozenset(cells)

    chances: dict[Any, float] = Counter()
    for place in (first := list(ends(ships[0]))):
        free = [other for other in ends(ships[1]) if not other & place]
        for other in free:
            board = tuple((x, y) in place | other for x in range(side) for y in range(side))
            chances[board] += 1 / len(first) / len(free)
    drawn = FleetSampler(side, ships, torch.device("cpu")).draw(40_000, generator())
    assert sum(chances.values()) == pytest.approx(1)
    assert_distributed(rows(drawn), chances)


def test_the_chances_of_arms_are_uniform_and_independent():
    env = make("popgym-MultiarmedBanditEasy-v0", 8)
    env.reset(0)
    chance = env._draw(4000)["chance"]
    cells = (chance[:, :2] * 5).long()
    cells = Counter(map(tuple, cells.tolist()))
    assert_distributed(cells, dict.fromkeys(itertools.product(range(5), repeat=2), 1 / 25))


def test_counts_match_the_definition():
    dealt, asked = torch.randint(3, (2, 5, 7), dtype=torch.uint8, generator=generator())
    want = [
        [row[: t + 1].count(face) for t, face in enumerate(faces)]
        for row, faces in zip(dealt.tolist(), asked.tolist(), strict=True)
    ]
    assert count(dealt, asked, 3).tolist() == want


def test_repeat_previous_pays_for_the_suit_of_lookback_steps_ago():
    env = make("popgym-RepeatPreviousEasy-v0", 5)
    obs, shown, total = env.reset(0), [], torch.zeros(5)
    for t in range(51):
        shown.append(obs["obs"])
        after = env.step(shown[max(t - 3, 0)])
        assert (after.reward != 0).all() == (t >= 3)
        total += after.reward
        obs = after.obs
    assert after.terminated.all()
    torch.testing.assert_close(total, torch.ones(5))


def test_the_last_card_of_autoencode_comes_with_the_call_to_play():
    env = make("popgym-AutoencodeEasy-v0", 3)
    obs, seen = env.reset(0), []
    while obs["mode"].all():
        seen.append(obs["suit"])
        obs = env.step(torch.zeros(3, dtype=torch.int64)).obs
    assert len(seen) == 51
    after = env.step(obs["suit"])
    assert (after.reward == torch.tensor(1 / 52)).all()
    after = env.step(seen[-1])
    assert (after.reward == torch.tensor(1 / 52)).all()
    assert not after.obs["suit"].any()


def test_lookback_must_leave_an_answer_to_count():
    with pytest.raises(ValueError, match="lookback is 51, allowed: 0 … 50 env steps"):
        make("popgym-RepeatPreviousEasy-v0", lookback=51)


@pytest.mark.parametrize(
    ("id", "options", "given"),
    [
        ("popgym-BattleshipEasy-v0", {"side": 7}, "side is 7"),
        ("popgym-MineSweeperEasy-v0", {"mines": 14}, "side is 4 and mines is 14"),
        ("popgym-MineSweeperEasy-v0", {"side": -5}, "side is -5 and mines is 2"),
        ("popgym-MultiarmedBanditEasy-v0", {"arms": 1}, "arms is 1"),
        ("popgym-ConcentrationEasy-v0", {"kinds": 3}, "kinds is 3"),
        ("popgym-ConcentrationEasy-v0", {"kinds": 4}, "kinds is 4"),
        ("popgym-ConcentrationEasy-v0", {"decks": 0}, "decks is 0"),
        ("popgym-CountRecallEasy-v0", {"kinds": 0}, "kinds is 0 and decks is 1"),
        ("popgym-CountRecallEasy-v0", {"decks": 0}, "decks is 0"),
        ("popgym-RepeatFirstEasy-v0", {"decks": -1}, "decks is -1"),
        ("popgym-AutoencodeEasy-v0", {"decks": 0}, "decks is 0"),
        ("popgym-HigherLowerEasy-v0", {"decks": 0}, "decks is 0"),
    ],
)
def test_impossible_options_are_refused_with_what_is_allowed(id, options, given):
    with pytest.raises(ValueError, match=f"{given}, allowed: "):
        make(id, **options)


@pytest.mark.parametrize(("kinds", "decks"), [(2, 1), (2, 3), (13, 1), (13, 2)])
def test_all_cards_of_concentration_can_be_paired(kinds, decks):
    env = make("popgym-ConcentrationEasy-v0", 2, kinds=kinds, decks=decks)
    env.reset(0)
    order = env._setups["face"].argsort(dim=1, stable=True)  # kind by kind
    for t, card in enumerate(order.unbind(1), 1):
        after = env.step(card)
        assert (after.terminated == (t == env.cards == env.min_length)).all()
        want = torch.full((2,), t // 2 * 2 / env.cards)
        torch.testing.assert_close(after.metrics["found"], want)
        assert torch.equal(after.metrics["success"], after.terminated.float())


def test_a_fleet_may_be_sunk_by_the_last_shot():
    env = make("popgym-BattleshipEasy-v0", 3, seed=2)
    env.reset()
    ship = env._setups["ship"].long()
    cells = ship.argsort(dim=1, descending=True, stable=True)  # its 12, then water
    order = torch.cat([cells[:, :11], cells[:, 12:], cells[:, 11:12]], 1)
    for t, cell in enumerate(order.unbind(1), 1):
        after = env.step(torch.stack([cell // 8, cell % 8], 1))
        assert (after.truncated == (t == 64)).all()
        assert torch.equal(after.terminated, after.truncated)
    assert (after.metrics["success"] == 1).all()


def test_opened_is_the_fraction_of_free_cells():
    env = make("popgym-MineSweeperEasy-v0", 3, seed=2)
    env.reset()
    mined = torch.zeros(3, 16).scatter(1, env._setups["mine"], 1)
    for opened, cell in enumerate(mined.argsort(dim=1, stable=True)[:, :14].unbind(1), 1):
        after = env.step(torch.stack([cell // 4, cell % 4], 1))
        torch.testing.assert_close(after.metrics["opened"], torch.full((3,), opened / 14))
    assert (after.metrics["success"] == 1).all()


def test_best_is_the_share_of_pulls_at_the_best_arm():
    env = make("popgym-MultiarmedBanditEasy-v0", 3, seed=2, length=4)
    env.reset()
    best = env._setups["chance"].argmax(1)
    for right in (1, 0, 1, 1):
        after = env.step((best + 1 - right) % 10)
    assert after.metrics["best"].tolist() == [0.75] * 3


@pytest.mark.parametrize(("row", "column"), [(8, 0), (0, -1)])
def test_a_shot_beyond_the_board_is_refused(row, column):
    env = make("popgym-BattleshipEasy-v0", 2, seed=0)
    said = re.escape(f"an action is {np.array([row, column])}, allowed: [0 0] … [7 7]")
    with pytest.raises(ValueError, match=said):
        env.step(torch.tensor([[0, 0], [row, column]]))


class NoWaiting(TorchDispatchMode):
    """Raises where a tensor's values would have to reach the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "item", "is_nonzero"), name
        assert "masked_select" not in name
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("id", CARD_AND_BOARD_TASKS)
def test_a_step_waits_for_nothing_and_leaves_what_it_gave_alone(id):
    env = make(id, 11)
    space = batch_space(env.action_space, 11)
    space.seed(0)
    given = [env.reset(0)]
    copies = [{key: value.clone() for key, value in given[0].items()}]
    for _ in range(60):
        action = torch.as_tensor(space.sample())
        with NoWaiting():
            after = env.step(action)
        for obs in (after.obs, after.final_obs):
            given.append(obs)
            copies.append({key: value.clone() for key, value in obs.items()})
    assert all(torch.equal(a[k], b[k]) for a, b in zip(given, copies, strict=True) for k in a)
