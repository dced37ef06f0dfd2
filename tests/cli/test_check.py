"""memrl check holds parts of one's own that are no memories to what a run asks of them."""

from __future__ import annotations

import json

import pytest
from own_folder import own_folder
from own_parts import A2C, CHANGE, FLAT, offer
from plug_ins import FIRST_BIT
from suites import slow, slow_but

from memrl.cli.check import check_class
from memrl.cli.lists import list_plugins

__all__ = ["own_folder"]  # a fixture

PARTS = {
    "flat:Flat": (FLAT, ["times=2"]),
    "change:Change": (CHANGE, ["power=0.5"]),
    "a2c:A2C": (A2C, ["lr=2e-3"]),
    "first_bit:FirstBit": (FIRST_BIT, ["bits=2"]),
}


def written(folder, text, target):
    (folder / f"{target.partition(':')[0]}.py").write_text(text)


@pytest.mark.parametrize("target", slow_but(["a2c:A2C", "first_bit:FirstBit"], PARTS))
def test_a_part_that_is_documented_holds_in_a_run(own_folder, capsys, target):
    text, options = PARTS[target]
    written(own_folder, text, target)
    check_class(target, options)
    out = capsys.readouterr().out
    assert out.count("ok  ") == 4
    assert "ok   a saved state continues bit for bit" in out
    subject = "first_bit:FirstBit" if target.startswith("first") else "probe/Recall-v0"
    assert out.endswith(f"{target} holds in a run of {subject}\n")


@pytest.mark.parametrize(
    ("target", "words"),
    [("a2c:A2C", ["env=probe/OneStep-v0", "lr=2e-3"]), slow("flat:Flat", ["env=probe/OneStep-v0"])],
)
def test_a_part_is_tried_in_the_environment_that_is_asked_for(own_folder, capsys, target, words):
    written(own_folder, PARTS[target][0], target)
    check_class(target, words)
    assert capsys.readouterr().out.endswith(f"{target} holds in a run of probe/OneStep-v0\n")
    with pytest.raises(ValueError, match=r"probe/OneStop-v0.*did you mean"):
        check_class(target, ["env=probe/OneStop-v0"])


@pytest.mark.slow
def test_a_bonus_that_is_not_saved_whole_does_not_continue(own_folder, capsys):
    forgets = CHANGE.replace('self.last.copy_(state["last"])', "pass")
    written(own_folder, forgets, "change:Change")
    with pytest.raises(ValueError, match="change:Change breaks 1 of 3 properties of a run"):
        check_class("change:Change", [])
    assert "FAIL a saved state continues bit for bit" in capsys.readouterr().out


def test_a_part_that_raises_is_told_with_its_own_error(own_folder, capsys):
    written(own_folder, FLAT.replace("torch.tanh(x)", "torch.tan_h(x)"), "flat:Flat")
    with pytest.raises(ValueError, match="flat:Flat breaks 1 of 1 properties of a run"):
        check_class("flat:Flat", [])
    assert "has no attribute 'tan_h' (flat.py:" in capsys.readouterr().out


def test_a_class_of_no_menu_is_refused(own_folder):
    (own_folder / "plain.py").write_text("class Plain: ...\n")
    with pytest.raises(ValueError, match="plain:Plain is no memory, task, encoder, bonus or agent"):
        check_class("plain:Plain", [])


def test_plugins_lists_what_packages_offer_and_what_is_wrong_with_it(
    own_folder, capsys, monkeypatch
):
    list_plugins(as_json=False)
    assert "no installed package offers" in capsys.readouterr().out
    site = own_folder / "site"
    site.mkdir()
    (site / "a2c.py").write_text(A2C)
    offer(site, "memrl.agents", actor_critic="a2c:A2C", wrong="a2c:A2CConfig")
    monkeypatch.syspath_prepend(str(site))
    list_plugins(as_json=True)
    good, bad = json.loads(capsys.readouterr().out)
    assert good == {
        "key": "agent", "name": "actor_critic", "origin": "own-parts 1.2",
        "options": ["kind", "steps", "lr", "gamma"],
    }  # fmt: skip
    assert "wrong is a class and no agent" in bad["error"]
    list_plugins(as_json=False)
    assert "agent=actor_critic" in capsys.readouterr().out
