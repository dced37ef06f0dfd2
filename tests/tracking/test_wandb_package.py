"""The end of a run with the real package, offline: what it would sync lies in its folder."""

from __future__ import annotations

import time

import pytest
from PIL import Image

from memrl.tracking.wandb import WandbTracker


def holds(record, word):
    """Whether W&B's process, which writes after it has answered, writes a word within 30 s."""
    patience = time.monotonic() + 30
    while word.encode() not in record.read_bytes():
        if time.monotonic() > patience:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.slow  # a process of W&B starts and ends; test_tracker.py says the same of a fake
def test_the_page_lies_byte_for_byte_among_the_media_and_in_an_artifact(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="pip install 'memrl[wandb]'")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    page, curve, said = tmp_path / "inspect.html", tmp_path / "curve.png", []
    page.write_text("<!doctype html>\n<title>a page</title>\n<script>1 < 2 && 3</script>\n")
    Image.new("RGB", (5, 3)).save(curve)
    folder = tmp_path / "files"
    run = WandbTracker(folder, mode="offline", project="memrl", name="dnc", config={"a": 1},
                       run_id=None, say=said.append)  # fmt: skip
    run.log({"env_steps": 3, "loss": 0.5})
    run.finish({"inspect": page, "curve": curve}, None, {"success": 1.0})
    assert said == []
    (shown,) = folder.glob("wandb/offline-run-*/files/media/html/*.html")
    assert shown.read_bytes() == page.read_bytes()
    assert [*folder.glob("wandb/offline-run-*/files/media/images/*.png")]
    kept = [path for path in tmp_path.glob("WANDB_DATA_DIR/artifacts/staging/*") if path.is_file()]
    assert [path.read_bytes() for path in kept] == [page.read_bytes()]
    (record,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert holds(record, f"inspect-{run.run_id}")


@pytest.mark.slow
def test_what_a_run_ends_with_is_kept(tmp_path):
    pytest.importorskip("wandb", reason="pip install 'memrl[wandb]'")
    picture, film, said = tmp_path / "curve.png", tmp_path / "episode.gif", []
    frames = [Image.new("RGB", (13, 7), color) for color in ("red", "blue")]
    frames[0].save(picture)
    frames[0].save(film, save_all=True, append_images=frames[1:])
    run = WandbTracker(
        tmp_path / "run",
        mode="offline",
        project="memrl",
        name="dnc",
        config={},
        run_id=None,
        group="maze-gru-1a2b",
        tags=["gru"],
        say=said.append,
    )
    run.log({"env_steps": 7, "loss": 0.5})
    run.finish({"curve": picture, "episode": film}, None, {"evaluation/success": 0.75})
    assert said == []
    (kept,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert len([*kept.glob("files/media/images/curve_*.png")]) == 1
    assert len([*kept.glob("files/media/videos/episode_*.gif")]) == 1
    (record,) = kept.glob("*.wandb")
    for word in ("maze-gru-1a2b", "gru", "evaluation/success"):
        assert holds(record, word)
