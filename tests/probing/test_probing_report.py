"""probe.json is read as it was written; what is not such a file is a sentence."""

from __future__ import annotations

import json

import pytest
from made_up_report import made_up_report

from memrl.errors import RunError
from memrl.evaluation.statistics import mean
from memrl.probing.report import Interval, interval_of, read_report


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "probe.json"
    path.write_text(made_up_report().model_dump_json(indent=1))
    return path


def test_a_report_is_read_as_it_was_written(file):
    assert read_report(file) == made_up_report()


def test_a_share_of_the_way_and_a_step_stay_apart(file):
    told = json.loads(file.read_text())
    moments = [1.0, 1, None]
    for experiment, when in zip(told["experiments"], moments, strict=True):
        experiment["when"] = when
    file.write_text(json.dumps(told))
    read = [experiment.when for experiment in read_report(file).experiments]
    assert [repr(when) for when in read] == [repr(when) for when in moments]


def test_an_interval_without_bounds_is_written_as_json_has_it():
    told = interval_of(mean([3.0]))
    assert told == Interval(mean=3.0, low=None, high=None, samples=1)
    assert json.loads(told.model_dump_json())["low"] is None


def test_a_file_that_is_older_than_the_entry_on_its_checkpoint_is_read(file):
    told = json.loads(file.read_text())
    del told["checkpoint"]
    file.write_text(json.dumps(told))
    assert read_report(file) == made_up_report().model_copy(update={"checkpoint": None})


def test_what_a_later_version_adds_is_not_read(file):
    told = {**json.loads(file.read_text()), "new": [{"in": "a later version"}]}
    file.write_text(json.dumps(told))
    assert read_report(file) == made_up_report()


def _without_a_score(told):
    del told["experiments"][1]["score"]


def _with_infinity(told):
    told["experiments"][1]["score"]["mean"] = float("inf")


def _with_a_short_list(told):
    told["readouts"]["cue"]["commonest"].pop()


def _without_experiments(told):
    told["experiments"].clear()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_without_a_score, "experiments.1.score"),
        (_with_infinity, "experiments.1.score.mean"),
        (_with_a_short_list, "readouts.cue"),
        (_without_experiments, "experiments"),
    ],
)
def test_a_file_of_another_version_says_what_is_wrong(file, change, place):
    told = json.loads(file.read_text())
    change(told)
    file.write_text(json.dumps(told))
    with pytest.raises(RunError, match=r"probe.json is damaged or of another version") as error:
        read_report(file)
    assert f"({place}: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_a_damaged_file_is_a_sentence(file, content):
    file.write_bytes(content)
    with pytest.raises(RunError, match="is damaged or of another version") as error:
        read_report(file)
    assert "\n" not in str(error.value)


def test_a_folder_of_that_name_cannot_be_read(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        read_report(tmp_path)
