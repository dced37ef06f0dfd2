"""The page is one file that asks for nothing and trusts nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from made_up_report import STEPS, made_up_report

from memrl.inspector.model import RunPage
from memrl.inspector.page import page_script, page_text, write_page
from memrl.inspector.panels import choose_panels

EVIL = "</script><img src=x onerror=alert(1)>&amp;"


@pytest.fixture
def run(recorded):
    episodes = [
        episode._replace(words={"mission": [EVIL] * episode.length})
        for episode in recorded.episodes
    ]
    return RunPage(
        EVIL,
        {"run": EVIL},
        episodes,
        choose_panels(episodes),
        recorded.sheets,
        experiments=made_up_report(EVIL),
    )


@pytest.fixture
def text(run):
    return page_text([run], title=EVIL)


def test_what_comes_from_outside_is_no_markup(text):
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;</title>" in text


def data_of(text):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(data)


def test_the_data_come_back(run, text):
    page = data_of(text)
    assert page["title"] == page["runs"][0]["facts"]["run"] == EVIL
    first = page["runs"][0]["episodes"][0]
    assert first["words"]["mission"] == {"texts": [EVIL], "at": [0, 0, 0, 0]}
    assert first["length"] == 4
    assert first["outcome"] is run.episodes[0].success


def test_experiments_come_back_without_the_episode_that_the_page_shows_anyway(run, text):
    told = data_of(text)["runs"][0]["experiments"]
    assert [each["name"] for each in told["experiments"]] == ["undisturbed", EVIL, "wiped once"]
    assert [each["when"] for each in told["experiments"]] == ["", "", "25%"]
    assert told["experiments"][1]["score"] == run.experiments.experiments[1].score.model_dump()
    assert told["readouts"]["cue"]["after"] == [*STEPS]
    assert "example" not in told["reads"]
    assert (
        data_of(page_text([run._replace(experiments=None)], title=""))["runs"][0]["experiments"]
        is None
    )


def test_the_policy_allows_the_page_its_own_script_and_style_alone(text):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert script == page_script()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for name, part in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"


def test_the_page_names_no_other_place(text):
    outside = re.sub(r'<script type="application/json" id="data">.*?</script>', "", text)
    outside = re.sub(r"<title>.*?</title>", "", outside)  # the words of a person
    assert not re.search(r"https?://|\b(src|href)=(?!\"data:,\")", outside)


def test_the_script_writes_text_and_never_html():
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
    assert not re.search(banned, page_script())


def test_only_a_page_that_is_served_may_ask_its_server(run, text):
    assert "connect-src" not in text
    assert '"version":null' in text
    served = page_text([run], title="a page", version="steps-7")
    assert "; connect-src 'self'\"" in served
    assert '"version":"steps-7"' in served


def test_the_page_is_written_at_once(run, tmp_path):
    write_page(tmp_path / "new" / "page.html", [run], title="a page")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
