"""What R2D2's config refuses: an option that is set and that nothing would read."""

from __future__ import annotations

from pathlib import Path

import pytest

from memrl.agents.r2d2.config import HindsightConfig, ReplayConfig


def test_a_share_of_episodes_without_hindsight_is_refused():
    with pytest.raises(ValueError, match=r"hindsight\.share=0\.5 is not read by .*kind=none"):
        HindsightConfig(share=0.5)
    assert HindsightConfig(kind="final", share=0.5).share == 0.5


def test_a_folder_in_which_nothing_would_lie_is_refused():
    with pytest.raises(ValueError, match=r"folder=here is not read without .*memory_limit"):
        ReplayConfig(folder=Path("here"))
    assert ReplayConfig(folder=Path("here"), memory_limit=1.0).folder == Path("here")
