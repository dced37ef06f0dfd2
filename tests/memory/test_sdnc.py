"""Links of a few partners against dense ones and plain loops, and how SDNC walks along them."""

from __future__ import annotations

import pytest
import torch

from memrl.memory import SAM, SDNC
from memrl.memory.ops.linkage import update_link, update_precedence
from memrl.memory.ops.sparse_linkage import Entries, Links, follow, largest, update_links
from tests.support.random_cores import draw

B, N, A, R, K, L = 3, 11, 5, 2, 3, 4
EXACT = {"rtol": 0, "atol": 1e-10}


def empty(*shape):
    return Entries(torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.float64))


def no_links(partners):
    return Links(empty(B, N, partners), empty(B, N, partners))


def dense(entries):
    """Rows of entries as rows of N numbers."""
    zeros = entries.weights.new_zeros(*entries.slots.shape[:-1], N)
    return zeros.scatter_add(-1, entries.slots, entries.weights)


def writes(steps):
    """Slots and weights of a few heads: some slots twice, weights that sum to less than 1."""
    for _ in range(steps):
        share = torch.rand(B, 1, dtype=torch.float64)
        yield torch.randint(0, N, (B, A)), share * draw(B, A).softmax(dim=-1)


def test_the_largest_are_those_of_a_sum_over_equal_slots():
    slots, weights = torch.randint(0, 4, (B, 7)), draw(B, 7).abs()
    got = largest(slots, weights, 3)
    for b in range(B):
        total = {}
        for slot, weight in zip(slots[b].tolist(), weights[b].tolist(), strict=True):
            total[slot] = total.get(slot, 0.0) + weight
        want = sorted(total.items(), key=lambda pair: -pair[1])[:3]
        want += [(0, 0.0)] * (3 - len(want))
        assert got.slots[b].tolist() == [slot for slot, _ in want]
        assert got.weights[b].tolist() == pytest.approx([weight for _, weight in want])


@pytest.mark.parametrize("partners", [L, N])
def test_links_and_precedence_match_the_definition(partners):
    links, precedence = no_links(partners), empty(B, partners)
    before, after = torch.zeros(2, B, N, N, dtype=torch.float64)
    last = torch.zeros(B, N, dtype=torch.float64)
    never = torch.zeros(B, dtype=torch.bool)
    for slots, weights in writes(20):
        precedence = update_links(links, precedence, slots, weights, never)
        for b in range(B):
            w = dense(Entries(slots[b], weights[b]))
            for i in range(N):
                if w[i] > 0:
                    before[b, i] = (1 - w[i]) * before[b, i] + w[i] * last[b]
                    before[b, i, i] = 0
                if last[b, i] > 0:
                    after[b, i] = (1 - last[b, i]) * after[b, i] + last[b, i] * w
                    after[b, i, i] = 0
                for row in (before[b, i], after[b, i]):
                    row[row < row.sort(descending=True).values[partners - 1]] = 0
            last[b] = (1 - w.sum()) * last[b] + w
            last[b][last[b] < last[b].sort(descending=True).values[partners - 1]] = 0
        torch.testing.assert_close(dense(links.before), before, **EXACT)
        torch.testing.assert_close(dense(links.after), after, **EXACT)
        torch.testing.assert_close(dense(precedence), last, **EXACT)


def test_with_room_for_all_partners_one_hot_writes_give_the_links_of_the_dnc():
    links, precedence = no_links(N), empty(B, N)
    link, last = torch.zeros(B, N, N, dtype=torch.float64), torch.zeros(B, N, dtype=torch.float64)
    order = torch.stack([torch.randperm(N) for _ in range(B)])
    for t in range(N):
        slot = order[:, t : t + 1]
        one = torch.ones(B, 1, dtype=torch.float64)
        never = torch.zeros(B, dtype=torch.bool)
        precedence = update_links(links, precedence, slot, one, never)
        written = dense(Entries(slot, one))
        link, last = update_link(link, last, written), update_precedence(last, written)
        assert dense(links.before).equal(link)
        assert dense(links.after).equal(link.mT)
        assert dense(precedence).equal(last)


def test_a_walk_follows_the_order_of_writing_in_both_directions():
    links, precedence = no_links(L), empty(B, L)
    for slot in (4, 7, 2):
        where = torch.full((B, 1), slot)
        one, never = torch.ones(B, 1, dtype=torch.float64), torch.zeros(B, dtype=torch.bool)
        precedence = update_links(links, precedence, where, one, never)
    at = torch.full((B, 1, 1), 7)
    look = torch.full((B, 1, 1), 0.5, dtype=torch.float64)
    forward, backward = dense(follow(links.after, at, look)), dense(follow(links.before, at, look))
    assert forward[:, 0].nonzero()[:, 1].tolist() == [2] * B
    assert backward[:, 0].nonzero()[:, 1].tolist() == [4] * B
    assert forward.sum() == backward.sum() == 0.5 * B


def test_a_fresh_slot_has_no_partners_even_if_nan_was_there():
    links = Links(
        Entries(torch.randint(0, N, (B, N, L)), torch.full((B, N, L), torch.nan)),
        Entries(torch.randint(0, N, (B, N, L)), torch.full((B, N, L), torch.nan)),
    )
    slot = torch.full((B, 1), 3)
    quiet = torch.full((B, 1), 0.5)
    precedence = Entries(torch.zeros(B, L, dtype=torch.long), torch.zeros(B, L))
    update_links(links, precedence, slot, quiet, torch.ones(B, dtype=torch.bool))
    for part in links:
        assert not part.weights[:, 3].any()
        assert part.weights[:, 4].isnan().all()


# The core


def build(core=SDNC, **options):
    sizes = {"slots": N, "word_dim": 5, "read_heads": R, "neighbours": K, "hidden_dim": 13}
    built = core(2, **{**sizes, **options})
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return built.double()


def test_heads_that_only_look_by_content_read_what_sam_reads():
    sdnc, sam = build(partners=L), build(SAM)
    with torch.no_grad():
        wide, narrow = sdnc.interface, sam.interface
        for part, other in ((wide.weight, narrow.weight), (wide.bias, narrow.bias)):
            heads = part.view(R, -1, *part.shape[1:])
            other.view(R, -1, *part.shape[1:])[:] = heads[:, :-3]
            heads[:, -3:] = 0
        wide.bias.view(R, -1)[:, -2] = 1e4  # clipped to 20: π_2 is 1 but for e^-20
    for name in ("input", "feedback", "output"):
        getattr(sam, name).load_state_dict(getattr(sdnc, name).state_dict())
    x, start = draw(3 * N, B, 2), torch.zeros(3 * N, B, dtype=torch.bool)
    got = sdnc(x, sdnc.initial_state(B), start).y
    torch.testing.assert_close(got, sam(x, sam.initial_state(B), start).y, rtol=0, atol=1e-6)


def test_read_weights_are_the_largest_of_the_mixture():
    core = build(partners=L)
    x, start = draw(2 * N, B, 2), torch.zeros(2 * N, B, dtype=torch.bool)
    state = core(x, core.initial_state(B), start).state
    asked, ask = [], core._interface
    core._interface = lambda hidden: asked.append(ask(hidden)) or asked[-1]
    after = core.step(x[0], state, start[0])[1]
    modes = asked[0].rest.softmax(dim=-1)
    content = asked[0].strengths.transpose(1, 2)  # [B, 1, R]
    keys, memory = asked[0].keys, after.memory
    likeness = torch.bmm(keys, memory.mT) / (
        keys.norm(dim=-1, keepdim=True) * memory.norm(dim=-1).unsqueeze(1) + 1e-6
    )
    for b in range(B):
        for r in range(R):
            near = likeness[b, r].topk(K)
            look = torch.zeros(N, dtype=torch.float64)
            look[near.indices] = (content[b, 0, r] * near.values).softmax(dim=-1)
            was = dense(Entries(state.slots[b, r], state.weights[b, r]))
            back = was @ dense(after.links.before)[b]
            on = was @ dense(after.links.after)[b]
            mixed = modes[b, r, 0] * back + modes[b, r, 1] * look + modes[b, r, 2] * on
            want = mixed.topk(K)
            torch.testing.assert_close(after.weights[b, r], want.values, **EXACT)
            torch.testing.assert_close(after.reads[b, r], want.values @ memory[b, want.indices])


def test_links_and_precedence_have_no_gradient():
    core = build()
    x, start = draw(7, B, 2), torch.zeros(7, B, dtype=torch.bool)
    state = core(x, core.initial_state(B), start).state
    assert state.weights.requires_grad
    assert not any(part.requires_grad for links in state.links for part in links)
    assert not state.precedence.weights.requires_grad


def test_gradients_are_those_of_the_formula():
    core = SDNC(2, slots=4, word_dim=3, hidden_dim=3, read_heads=1, neighbours=2, partners=2)
    core, start = core.double(), torch.zeros(4, 1, dtype=torch.bool)
    x = draw(4, 1, 2).requires_grad_()
    assert core(x, core.initial_state(1), start).y.requires_grad
    with torch.no_grad():  # π_1 = π_3 = 0: what passes through links is no gradient of the formula
        core.interface.bias[-3] = -30.0
        core.interface.bias[-1] = -30.0
    assert torch.autograd.gradcheck(lambda x: core(x, core.initial_state(1), start).y, x, atol=1e-5)


def test_more_neighbours_than_slots_are_refused():
    with pytest.raises(ValueError, match="neighbours is 12; allowed: at most slots, 11"):
        build(neighbours=12)
