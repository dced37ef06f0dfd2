"""What the commands about finished runs make of their configs."""

from __future__ import annotations

import pytest

from memrl.config.composition import compose
from memrl.pipeline.report import picture_title


@pytest.mark.parametrize(
    ("ablate", "end"), [(None, ""), ("state", ", without its state"), ("reads", ", reads silenced")]
)
def test_pictures_say_what_of_a_memory_is_silenced(ablate, end):
    config = compose(["memory=ntm", "env=probe/TMaze-v0"])
    assert picture_title(config, ablate=ablate) == f"ntm on probe/TMaze-v0{end}"
