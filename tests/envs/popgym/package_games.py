"""POPGym's own games as deals for the tensor environments, and players that know what is dealt."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import popgym  # noqa: F401  (registers its ids)
import torch

from memrl.envs.popgym.count_recall import count
from memrl.envs.popgym.tasks import family


class Dealer:
    """Replaces the draws of a tensor environment by games of the package, one for each deal."""

    def __init__(self, id: str) -> None:
        self.id, self.family = id, family(id)
        self.games: list[Any] = []
        self.first_obs: list[Any] = []

    def draw(self, num: int) -> dict[str, torch.Tensor]:
        deals = []
        for _ in range(num):
            game = gymnasium.make(self.id).unwrapped
            self.first_obs.append(game.reset(seed=len(self.games))[0])
            game.action_space.seed(len(self.games))
            self.games.append(game)
            deals.append({**dealt(self.family, game), "serial": torch.tensor(len(self.games) - 1)})
        return {key: torch.stack([deal[key] for deal in deals]) for key in deals[0]}


def dealt(family: str, game: Any) -> dict[str, torch.Tensor]:
    """What chance decided in a game of the package, as one deal of the tensor environment."""

    def in_order(deck: Any, faces: Any) -> torch.Tensor:  # the package deals from the end
        return torch.as_tensor(faces[deck.idx[::-1]].astype(np.uint8))

    if family in ("RepeatPrevious", "RepeatFirst", "Autoencode"):
        return {"suit": in_order(game.deck, game.deck.suits_idx)}
    if family == "HigherLower":
        return {"rank": in_order(game.deck, game.deck.ranks_idx)}
    if family == "CountRecall":
        cards, asked = (
            in_order(d, game.deck_idx_type)[None] for d in (game.value_deck, game.query_deck)
        )
        counts = count(cards, asked, game.num_distinct_cards)
        return {"dealt": cards[0], "asked": asked[0], "count": counts[0]}
    if family == "Concentration":
        return {"face": torch.as_tensor(game.deck_idx_type[game.deck.idx].astype(np.uint8))}
    if family == "Battleship":
        return {"ship": torch.as_tensor(game.board.flatten() == 1)}
    if family == "MineSweeper":
        return {"mine": torch.as_tensor(np.flatnonzero(game.hidden_grid == 1))}
    chance = torch.as_tensor(game.bandits.copy())
    return {"chance": chance, "best": chance.argmax(0, keepdim=True)}


def next_luck(game: Any) -> float:
    """The number that the package's bandit is about to draw, compared as float32 there."""
    return float(np.float32(copy.deepcopy(game.np_random).random()))


def best(family: str, game: Any, rng: np.random.Generator) -> Any:
    """An action that knows everything."""
    if family == "RepeatPrevious":
        hand = game.deck["player"]
        return int(game.deck.suits_idx[hand[-game.k]]) if len(hand) >= game.k else 0
    if family == "RepeatFirst":
        return int(game.card)
    if family == "Autoencode":
        return int(game.deck.suits_idx[game.deck["system"][-1]])
    if family == "CountRecall":
        return int(game.counts[game.query])
    if family == "HigherLower":
        then = game.deck.ranks_idx[game.deck.idx[game.deck.deck_len - 1]]
        return int(then < game.deck.ranks_idx[game.deck["player"][-1]])
    if family == "Concentration":
        return _partner(game, rng)
    if family == "Battleship":
        return rng.choice(np.argwhere((game.board == 1) & (game.guesses == 0)))
    if family == "MineSweeper":
        return rng.choice(np.argwhere(game.hidden_grid == 0))
    return int(game.bandits.argmax())


def worst(family: str, game: Any, rng: np.random.Generator) -> Any:
    """An action that looks for trouble: wrong answers, and whatever was done before once more."""
    if family == "Concentration":
        up = game.deck["face_up_idx"]
        waiting = game.deck["in_play_idx"]
        troubles = [up[-1:], waiting, [int(rng.integers(len(game.deck)))]]
        troubles = [t for t in troubles if t]
        return (
            troubles[rng.integers(len(troubles))][0] if rng.random() < 0.8 else _partner(game, rng)
        )
    if family == "Battleship":
        water = np.argwhere(game.board == 0)
        return water[rng.integers(2)] if rng.random() < 0.9 else best(family, game, rng)
    if family == "MineSweeper":
        open_ = np.argwhere(game.hidden_grid == 2)
        return open_[0] if len(open_) and rng.random() < 0.95 else best(family, game, rng)
    if family == "MultiarmedBandit":
        return int(game.bandits.argmin())
    return (best(family, game, rng) + 1) % game.action_space.n


def _partner(game: Any, rng: np.random.Generator) -> int:
    """A card that pairs with the one in play, or any that lies face down."""
    faces = game.deck_idx_type[game.deck.idx]
    down = np.setdiff1d(np.arange(len(faces)), game.deck["face_up_idx"])
    if game.deck["in_play_idx"]:
        waiting = game.deck["in_play_idx"][0]
        down = down[(faces[down] == faces[waiting]) & (down != waiting)]
    return int(rng.choice(down))
