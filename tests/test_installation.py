"""A hint names the command that adds an extra to the memrl that is there."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest

import memrl.errors
from memrl.envs.providers import PROVIDERS
from memrl.errors import install_command


class Installed:
    def __init__(self, origin):
        self.origin = origin

    def read_text(self, name):
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def test_a_clone_is_installed_again_with_the_extra(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    assert install_command("onnx", tmp_path) == f"pip install -e '{tmp_path}[onnx]'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'memrl[onnx]'"),
        (
            {"url": "file:///w/memrl-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'memrl[onnx] @ file:///w/memrl-1-py3-none-any.whl'",
        ),
        (
            {"url": "https://host/memrl", "vcs_info": {"vcs": "git", "commit_id": "1"}},
            "pip install 'memrl[onnx] @ git+https://host/memrl'",
        ),
    ],
)
def test_a_package_gets_the_extra_from_where_it_came(tmp_path, monkeypatch, origin, command):
    monkeypatch.setattr(memrl.errors, "distribution", lambda name: Installed(origin))
    assert install_command("onnx", tmp_path) == command


def test_a_package_that_nobody_installed_is_looked_for_in_an_index(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(memrl.errors, "distribution", missing)
    assert install_command("onnx", tmp_path) == "pip install 'memrl[onnx]'"


def test_environments_are_installed_into_this_clone():
    (popgym,) = (each for each in PROVIDERS if each.name == "popgym")
    assert popgym.install == install_command("popgym")
    assert popgym.install.startswith("pip install -e ")
