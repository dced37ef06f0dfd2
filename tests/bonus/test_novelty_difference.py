"""NovelD against its definition in plain loops."""

from __future__ import annotations

import torch
from small_bonuses import B, ends, experience, make, views, walk


def test_the_bonus_matches_the_definition():
    bonus = make("novelty_difference", alpha=0.3)
    seen, opens = views(1, 19), ends(2, 19)
    first = views(5, 1)[0]
    bonus.begin({"image": first})
    paid = walk(bonus, seen, opens)

    @torch.no_grad()
    def novelty(o):  # ‖f(s) - f̂(s)‖
        f, guess = bonus.target({"image": o[None]})[0], bonus.predictor({"image": o[None]})[0]
        return sum(float(d) ** 2 for d in f - guess) ** 0.5

    def word(o):
        return tuple(o.flatten().tolist())

    for b in range(B):
        here, known = first[b], {word(first[b])}
        for t in range(19):
            there = seen[t, b]
            want = max(novelty(there) - 0.3 * novelty(here), 0.0)
            if opens[t, b]:
                want, known = 0.0, set()
            elif word(there) in known:
                want = 0.0
            known.add(word(there))
            assert abs(float(paid[t, b]) - want) < 1e-5
            here = there
    assert (paid > 0).any()


def test_a_perfect_predictor_pays_nothing():
    bonus = make("novelty_difference")
    bonus.predictor.encoder = bonus.target.encoder
    bonus.predictor.head = bonus.target.head
    bonus.begin({"image": views(5, 1)[0]})
    assert not walk(bonus, views(1, 19), ends(2, 19)).any()


def test_what_was_learned_is_less_novel_and_the_target_stays():
    bonus = make("novelty_difference", lr=0.01, updates=8)
    target = [p.clone() for p in bonus.target.parameters()]
    rows = [bonus.learn(experience(3)) for _ in range(40)]
    assert rows[-1]["bonus/loss"] < 0.05 * rows[0]["bonus/loss"]
    assert all(torch.equal(a, b) for a, b in zip(target, bonus.target.parameters(), strict=True))


def test_after_learning_the_novelty_in_hand_is_the_new_predictors():
    bonus, seen = make("novelty_difference", lr=0.01), experience(3)
    bonus.begin(seen.now)
    before = bonus.novelty.clone()
    bonus.learn(seen)
    kept = bonus.novelty.clone()
    assert not torch.equal(kept, before)
    bonus.begin(seen.now)
    assert torch.equal(kept, bonus.novelty)
