"""The end of a run with the real package, offline: what it would sync lies in its folder."""

from __future__ import annotations

import time

import pytest
from PIL import Image

from memrl.tracking.wandb import WandbTracker


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
    named, patience = f"inspect-{run.run_id}".encode(), time.monotonic() + 30
    while named not in record.read_bytes() and time.monotonic() < patience:
        time.sleep(0.1)  # W&B's process writes it after it has answered
    assert named in record.read_bytes()
