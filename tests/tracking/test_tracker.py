from __future__ import annotations

import sys
import types

import pytest
from jaxtyping import TypeCheckError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from memrl.checkpoint.folder import Checkpoint
from memrl.run.directory import RunDirectory
from memrl.tracking import wandb as tracking_wandb
from memrl.tracking.metrics_file import read_metrics
from memrl.tracking.tracker import Tracker


class FakeRun:
    def __init__(self, options):
        self.options, self.id = options, options["id"] or "fresh"
        self.rows, self.metrics, self.finished, self.artifacts = [], [], False, []
        self.summary = {}
        self.broken = False

    def define_metric(self, name, step_metric=None):
        self.metrics.append((name, step_metric))

    def log(self, row):
        if self.broken:
            raise ConnectionError("the server is gone\nand here is a long trace")
        self.rows.append(row)

    def log_artifact(self, artifact):
        self.artifacts.append(artifact)

    def finish(self):
        self.finished = True


class FakeArtifact:
    def __init__(self, name, type):
        self.name, self.type, self.files = name, type, []

    def add_file(self, path):
        self.files.append(path)


@pytest.fixture
def wandb(monkeypatch):
    """Stands for the package: remembers runs; ``unreachable`` makes online runs fail."""
    module = types.ModuleType("wandb")
    module.runs, module.unreachable = [], False

    def init(*, mode, **options):
        if module.unreachable and mode == "online":
            raise TimeoutError("no answer after 30 s")
        module.runs.append(FakeRun({"mode": mode, **options}))
        return module.runs[-1]

    module.init, module.Artifact = init, FakeArtifact
    module.Settings = lambda **options: options
    module.Video = lambda path, format: ("video", path)
    module.Image = lambda path: ("image", path)
    module.Html = lambda path, inject: ("html", path, inject)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(tracking_wandb, "has_key", lambda: True)
    return module


def tracker(path, said, **kwargs):
    run = RunDirectory(path) if path.exists() else RunDirectory.create(path, "a: 1\n")
    options = {"tensorboard": False, "say": said.append, **kwargs}
    return Tracker(run, {"lr": 0.1}, **options)


def resume_at(env_steps, run_id=None):
    state = {"tracker": {"wandb_run_id": run_id}}
    return Checkpoint(path=None, experience=env_steps, score=None, state=state)


def row(env_steps):
    return {"env_steps": env_steps, "train/loss": env_steps / 7}


def test_rows_reach_wandb_over_env_steps(tmp_path, wandb):
    with tracker(tmp_path / "run", [], wandb="online", project="maze") as log:
        log.log(row(7))
    run = wandb.runs[0]
    assert (run.options["mode"], run.options["project"]) == ("online", "maze")
    assert run.options["config"] == {"lr": 0.1}
    assert run.rows == [row(7)]
    assert ("*", "env_steps") in run.metrics
    assert run.finished


def test_a_resumed_run_keeps_its_wandb_id(tmp_path, wandb):
    first = tracker(tmp_path / "run", [], wandb="online")
    assert first.state_dict() == {"wandb_run_id": "fresh"}
    again = tracker(tmp_path / "run", [], wandb="online", resume=resume_at(7, "fresh"))
    assert wandb.runs[1].options["id"] == "fresh"
    assert again.state_dict() == {"wandb_run_id": "fresh"}


def test_without_a_key_the_run_is_offline_and_says_so(tmp_path, wandb, monkeypatch):
    monkeypatch.setattr(tracking_wandb, "has_key", lambda: False)
    said = []
    tracker(tmp_path / "run", said, wandb="online")
    assert wandb.runs[0].options["mode"] == "offline"
    assert len(said) == 1
    assert "No W&B key" in said[0]


def test_an_unreachable_server_makes_the_run_offline(tmp_path, wandb):
    wandb.unreachable = True
    said = []
    tracker(tmp_path / "run", said, wandb="online").log(row(7))
    assert wandb.runs[0].options["mode"] == "offline"
    assert wandb.runs[0].rows == [row(7)]
    assert said == [
        "W&B cannot be reached (no answer after 30 s): this run is tracked offline",
    ]


def test_a_failing_wandb_is_reported_once_and_the_rows_go_on(tmp_path, wandb):
    said = []
    log = tracker(tmp_path / "run", said, wandb="online")
    wandb.runs[0].broken = True
    for env_steps in (7, 14, 21):
        log.log(row(env_steps))
    log.finish()
    assert said == [
        "W&B failed and is off for the rest of this run: the server is gone",
    ]
    assert len(read_metrics(tmp_path / "run" / "metrics.csv")["env_steps"]) == 3


def test_a_missing_wandb_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = []
    tracker(tmp_path / "run", said, wandb="offline").log(row(7))
    assert len(said) == 1
    assert "W&B failed" in said[0]


def test_disabled_never_imports_wandb(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = []
    tracker(tmp_path / "run", said, wandb="disabled").log(row(7))
    assert said == []


def test_an_unknown_mode_is_a_mistake_of_the_user(tmp_path):
    options = {"project": "p", "name": "n", "config": {}, "run_id": None, "say": print}
    # The type says so too; under the type checker of the tests its error comes first.
    with pytest.raises((ValueError, TypeCheckError), match="on"):
        tracking_wandb.WandbTracker(tmp_path, mode="on", **options)


def test_the_end_sends_pictures_the_checkpoint_and_the_evaluation(tmp_path, wandb):
    log = tracker(tmp_path / "run", [], wandb="online")
    names = ("episode.gif", "curve.png", "memory.png", "c.safetensors")
    episode, curve, memory, checkpoint = files = [tmp_path / name for name in names]
    for file in files:
        file.touch()
    pictures = {"episode": episode, "curve": curve, "memory": memory}
    log.finish(pictures=pictures, checkpoint=checkpoint, summary={"evaluation/success": 0.7})
    run = wandb.runs[0]
    shown = {"episode": ("video", str(episode)), "curve": ("image", str(curve)),
             "memory": ("image", str(memory))}  # fmt: skip
    assert run.rows == [shown]
    assert run.artifacts[0].files == [str(checkpoint)]
    assert run.summary == {"evaluation/success": 0.7}
    assert run.finished


def test_a_run_carries_its_group_and_tags(tmp_path, wandb):
    tracker(tmp_path / "run", [], wandb="online", group="maze-gru-1a2b", tags=("gru", "maze"))
    assert wandb.runs[0].options["group"] == "maze-gru-1a2b"
    assert wandb.runs[0].options["tags"] == ["gru", "maze"]


def test_the_end_sends_the_page_of_memrl_inspect(tmp_path, wandb):
    log = tracker(tmp_path / "run", [], wandb="online")
    page = tmp_path / "inspect.html"
    page.touch()
    log.finish(pictures={"inspect": page})
    run = wandb.runs[0]
    assert run.rows == [{"inspect": ("html", str(page), False)}]
    assert [(each.type, each.files) for each in run.artifacts] == [("inspect", [str(page)])]


def test_a_run_without_a_picture_ends_all_the_same(tmp_path, wandb):
    said = []
    pictures = {"episode": tmp_path / "none.gif"}
    tracker(tmp_path / "run", said, wandb="online").finish(pictures=pictures)
    assert said == []
    assert wandb.runs[0].rows == []
    assert wandb.runs[0].finished


def test_a_key_is_found_in_the_environment_or_netrc(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not tracking_wandb.has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n login user\n password word\n")
    assert tracking_wandb.has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not tracking_wandb.has_key()
    monkeypatch.setenv("WANDB_API_KEY", "word")
    assert tracking_wandb.has_key()


def events(path):
    accumulator = EventAccumulator(str(path / "tensorboard"))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars("train/loss")]


def test_a_resume_purges_what_tensorboard_saw_after_the_checkpoint(tmp_path):
    first = tracker(tmp_path / "run", [], tensorboard=True)
    for env_steps in (7, 14, 21):
        first.log(row(env_steps))
    first.finish()
    second = tracker(tmp_path / "run", [], tensorboard=True, resume=resume_at(14))
    second.log(row(21))
    second.log(row(28))
    second.finish()
    assert [step for step, _ in events(tmp_path / "run")] == [7, 14, 21, 28]


def test_a_failing_tensorboard_is_reported_once_and_the_rows_go_on(tmp_path):
    said = []
    log = tracker(tmp_path / "run", said, tensorboard=True)

    def fail(*_):
        raise OSError("disk quota exceeded")

    log._tensorboard.add_scalar = fail
    log.log(row(7))
    log.log(row(14))
    assert said == ["TensorBoard failed and is off for the rest of this run: disk quota exceeded"]
    assert len(read_metrics(tmp_path / "run" / "metrics.csv")["env_steps"]) == 2


def test_starting_anew_sets_old_rows_aside_and_says_where(tmp_path):
    tracker(tmp_path / "run", []).log(row(7))
    said = []
    tracker(tmp_path / "run", said)
    assert "metrics.cut-1.csv" in said[0]
    assert not (tmp_path / "run" / "metrics.csv").exists()
