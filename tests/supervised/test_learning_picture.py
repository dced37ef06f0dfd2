"""curve.png of a supervised run."""

from __future__ import annotations

from memrl.supervised.pictures import draw_learning
from memrl.tasks import REGISTRY


def test_a_run_of_one_iteration_is_a_point_in_each_panel(tmp_path):
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("sequences,train/length,train/accuracy,train/loss\n1600,10,0.6,0.65\n")
    task = REGISTRY.build("copy")
    figure = draw_learning(metrics, tmp_path / "curve.png", task=task, marks=[], title="")
    for axes in figure.axes:
        assert axes.lines[0].get_marker() == "o"
