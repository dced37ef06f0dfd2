"""The grid encoder: cells embedded, added over channels, mixed once."""

import pytest
import torch

from memrl.envs.minigrid.memory_task import MEMORY_IDS, memory_task
from memrl.nn.fingerprint import DEDUPLICATE_FROM
from memrl.nn.grid import GridEncoder


def test_features_are_the_relu_of_mixed_sums_of_embeddings() -> None:
    encoder = GridEncoder((2, 3, 3), encoder_dim=5, cell_dim=7).double()
    grid = torch.randint(0, 256, (11, 2, 3, 3), dtype=torch.uint8)
    for row, features in zip(grid, encoder(grid), strict=True):
        cells = [
            sum(encoder.cells[256 * c + int(code)] for c, code in enumerate(cell))
            for column in row
            for cell in column
        ]
        torch.testing.assert_close(features, encoder.mix(torch.cat(cells)).relu())


def test_a_large_batch_is_encoded_as_a_small_one() -> None:
    encoder = GridEncoder((3, 3, 2), encoder_dim=5, cell_dim=4)
    grid = torch.randint(0, 3, (2, DEDUPLICATE_FROM, 3, 3, 2), dtype=torch.uint8)
    single = torch.stack([encoder(row[:100]) for row in grid])
    torch.testing.assert_close(encoder(grid)[:, :100], single)


@pytest.mark.parametrize("id", MEMORY_IDS)
def test_most_features_of_a_new_encoder_tell_views_apart(id: str) -> None:
    """Where embeddings share a large offset, half of the ReLUs never open or never shut."""
    views = memory_task(id, 7).image
    shares = []
    for seed in range(5):
        torch.manual_seed(seed)
        open_ = (GridEncoder((7, 7, 3), encoder_dim=128, cell_dim=8)(views) > 0).float().mean(0)
        shares.append(((open_ > 0.05) & (open_ < 0.95)).float().mean())
    assert torch.stack(shares).mean() > 0.9
