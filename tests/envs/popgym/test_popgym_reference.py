"""The exact levels against players on the tasks themselves, and against small enumerations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from gymnasium import spaces
from suites import slow_but

from memrl.envs import make
from memrl.envs.popgym.catalogue import popgym_card
from memrl.envs.popgym.odds import counting_cards
from memrl.envs.popgym.random_returns import random_battleship, random_minesweeper
from memrl.envs.popgym.reference import random_return, returns
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS

KEPT = {"popgym-RepeatPreviousEasy-v0", "popgym-CountRecallEasy-v0"}
EASY = [id for id in CARD_AND_BOARD_TASKS if "Easy" in id]


def played(env, player, episodes):
    """Returns of whole episodes, the first ones of every copy: float64 [≥ episodes]."""
    generator = torch.Generator().manual_seed(1)
    obs, total = env.reset(0), torch.zeros(env.num_envs, dtype=torch.float64)
    ended: list[torch.Tensor] = []
    seen = torch.zeros(env.num_envs, dtype=torch.int64)
    each = -(-episodes // env.num_envs)  # of every copy the same number: no bias to short ones
    while int(seen.min()) < each:
        after = env.step(player(env, obs, generator))
        total += after.reward
        over = after.ended
        ended.append(total[over & (seen < each)])
        seen += over
        total[over] = 0
        obs = after.obs
    return torch.cat(ended)


def random(env, obs, generator):
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return torch.randint(int(space.n), (env.num_envs,), generator=generator)
    columns = [torch.randint(int(n), (env.num_envs,), generator=generator) for n in space.nvec]
    return torch.stack(columns, 1)


def assert_mean(values, want):
    error = float(values.std() / math.sqrt(len(values)))
    assert abs(float(values.mean()) - want) < 4 * error + 1e-6, (float(values.mean()), want, error)


@pytest.mark.parametrize("id", slow_but(KEPT, [*EASY, "popgym-ConcentrationHard-v0"]))
def test_random_players_reach_the_guessing_level(id):
    assert_mean(played(make(id, 512), random, 2048), random_return(id))


def forgetful(env, obs, generator):
    """The best that reads only the observation in hand, as the levels' comments say."""
    name = type(env).__name__
    if name == "RepeatPrevious":
        return (obs["obs"] + 1) % 4
    if name == "RepeatFirst":
        return obs["obs"]
    if name == "Autoencode":
        return obs["suit"]
    return (obs["obs"] > 6).long()  # HigherLower


@pytest.mark.slow
@pytest.mark.parametrize(
    "id", [id for id in EASY if any(w in id for w in ("Repeat", "Autoencode", "Higher"))]
)
def test_the_memoryless_level_is_that_of_a_forgetful_player(id):
    known = returns(id)
    assert_mean(played(make(id, 512), forgetful, 8192), known.memoryless)
    assert (
        random_return(id) <= known.guess <= known.memoryless < known.optimum <= known.ceiling <= 1
    )


def test_with_the_previous_action_the_first_suit_can_be_passed_on_without_a_memory():
    def passing_on(env, obs, generator):
        none_yet = obs["prev_action"] == 4
        return torch.where(none_yet, obs["obs"], obs["prev_action"])

    env = make("popgym-RepeatFirstEasy-v0", 7, prev_action=True)
    assert (played(env, passing_on, 7) > 1 - 1e-5).all()
    card = popgym_card("popgym-RepeatFirstEasy-v0", prev_action=True)
    assert (card.memory, card.levels.memoryless) == ("not needed", 1.0)
    assert popgym_card("popgym-RepeatFirstEasy-v0").memory == "strict"
    assert popgym_card("popgym-AutoencodeEasy-v0", prev_action=True).levels.memoryless is None


def test_levels_follow_the_options():
    assert returns("popgym-RepeatPreviousEasy-v0", lookback=0).memoryless == 1
    assert returns("popgym-HigherLowerEasy-v0", decks=2) == returns("popgym-HigherLowerMedium-v0")


@pytest.mark.parametrize("difficulty", ["Easy", "Medium", "Hard"])
def test_counting_without_memory_is_answering_the_likeliest_count(difficulty):
    id = f"popgym-CountRecall{difficulty}-v0"
    env = make(id, 512)
    env.reset(0)
    deals = env._draw(20_000)
    same = (deals["dealt"] == deals["asked"])[:, : env.length]
    count = deals["count"][:, : env.length]
    right = sum(count[rows].bincount().max() for rows in (same, ~same)) / count.numel()
    blind = count.flatten().bincount().max() / count.numel()
    timed = (
        sum(
            now[rows].bincount().max()
            for now, alike in zip(count.T, same.T, strict=True)
            for rows in (alike, ~alike)
        )
        / count.numel()
    )
    assert float(2 * right - 1) == pytest.approx(returns(id).memoryless, abs=3e-3)
    assert float(2 * blind - 1) == pytest.approx(returns(id).guess, abs=3e-3)
    assert float(2 * timed - 1) == pytest.approx(returns(id).timed, abs=3e-3)


@pytest.mark.parametrize("cards", [(0, 1, 2, 3, 4), (0, 0, 1, 1, 2, 2), (0, 0, 0, 1, 1, 1)])
def test_who_counts_cards_guesses_by_what_is_left(cards):
    def best(now, left):  # right minus wrong guesses to be expected
        if not left:
            return 0.0
        sure = abs(sum(card > now for card in left) - sum(card < now for card in left))
        later = [best(card, left[:i] + left[i + 1 :]) for i, card in enumerate(left)]
        return (sure + sum(later)) / len(left)

    starts = [best(card, cards[:i] + cards[i + 1 :]) for i, card in enumerate(cards)]
    want = sum(starts) / len(starts) / len(cards)
    assert counting_cards(len(cards), len(set(cards))) == pytest.approx(want)


@pytest.mark.parametrize(("cells", "ships"), [(4, 1), (4, 2), (5, 3)])
def test_the_chain_of_random_shots_is_the_mean_over_all_games(cells, ships):
    def play(shots):
        hit, total = set(), 0.0
        for shot in shots:
            new = shot < ships and shot not in hit
            hit |= {shot} if new else set()
            total += 1 / ships if new else -1 / (cells - ships)
            if len(hit) == ships:
                break
        return total

    games = [play(shots) for shots in itertools.product(range(cells), repeat=cells)]
    assert random_battleship(cells, ships) == pytest.approx(sum(games) / len(games))


@pytest.mark.parametrize(("cells", "mines"), [(4, 1), (5, 2), (6, 2)])
def test_the_chain_of_random_cells_is_the_mean_over_all_games(cells, mines):
    free = cells - mines

    def play(clicks):
        opened, total = set(), 0.0
        for cell in clicks:
            if cell >= free:
                return total - 0.5 - 1 / free
            total += -0.5 / (free - 2) if cell in opened else 1 / free
            opened.add(cell)
            if len(opened) == free:
                break
        return total

    games = [play(clicks) for clicks in itertools.product(range(cells), repeat=free)]
    assert random_minesweeper(cells, mines) == pytest.approx(sum(games) / len(games))
