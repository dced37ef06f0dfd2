"""The page in a real browser: every panel follows the step, and nothing else happens."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pytest
from made_up_report import made_up_report
from made_up_run import EVIL, LENGTHS, made_up_run

from memrl.inspector.model import Episode, RunPage
from memrl.inspector.page import page_text, write_page
from memrl.inspector.panels import choose_panels
from memrl.inspector.server import PageServer

pytestmark = pytest.mark.browser
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser was found (any of {', '.join(PROGRAMS)})")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root
        running = started.chromium.launch(executable_path=program, chromium_sandbox=not root)
        yield running
        running.close()


@pytest.fixture(scope="module")
def runs():
    first, second = made_up_run(cues=True), made_up_run("gru on made-up/Task-v0", seed=4)
    return [first._replace(experiments=made_up_report(EVIL), env_steps=1013), second]


@pytest.fixture(scope="module")
def file(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "inspect.html"
    write_page(path, runs, title=EVIL)
    return path


@pytest.fixture
def show(browser, file):
    """Opens a page of this browser, and holds it to asking for nothing and reporting nothing."""
    opened = []

    def open_page(link="", *, path=file, size=WIDE, scheme="light"):
        page = browser.new_page(viewport=size, color_scheme=scheme)
        opened.append((page, said := [], path))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: said.append(f"request {request.url}"))
        page.goto(path.as_uri() + link)
        ready(page)
        return page

    yield open_page
    for page, said, path in opened:
        page.close()
        assert [line for line in said if not line.startswith(f"request {path.as_uri()}")] == []


def ready(page):
    page.wait_for_selector("body[data-ready][data-step]")
    settle(page)


def settle(page):
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def pixels(page):
    """What each panel shows, by its array and kind."""
    settle(page)
    script = """() => Object.fromEntries([...document.querySelectorAll(".panel")].map(panel =>
        [panel.dataset.array + " " + panel.dataset.kind,
         panel.querySelector("canvas").toDataURL()]))"""
    return page.evaluate(script)


def hover(page, array, across, down, kind=None):
    """The text at a share of the width and the height of a panel's plot."""
    which = f'.panel[data-array="{array}"]' + (f'[data-kind="{kind}"]' if kind else "")
    canvas = page.locator(f"{which} canvas").first
    canvas.evaluate("canvas => canvas.scrollIntoView({block: 'center'})")
    at, box = canvas.bounding_box(), json.loads(canvas.get_attribute("data-box"))
    x = at["x"] + box["left"] + across * box["width"]
    y = at["y"] + box["top"] + down * box["height"]
    page.mouse.move(x, y)
    settle(page)
    return page.inner_text("#tip")


def number(text):
    return float(text.rpartition("· ")[2])


def listed(page):
    return [int(row.get_attribute("data-episode")) for row in page.query_selector_all("#rows tr")]


def test_the_page_opens_without_errors_or_requests(show, runs):
    page = show()
    assert page.locator(".panel").count() == len(runs[0].panels)
    assert page.inner_text("#step") == "step 0 of 16"


def test_words_from_outside_are_shown_as_text(show):
    page = show()
    assert page.inner_text("h1") == EVIL
    assert f"mission {EVIL}" in page.inner_text(".words")
    assert page.locator("img").count() == 0


def test_every_panel_moves_with_the_slider(show):
    page = show()
    before = pixels(page)
    page.fill("#slider", "7")
    after = pixels(page)
    assert page.inner_text("#step") == "step 7 of 16"
    assert [name for name in before if before[name] == after[name]] == []


def test_every_panel_moves_with_the_keys(show):
    page = show()
    before = pixels(page)
    page.keyboard.press("ArrowRight")
    after = pixels(page)
    assert [name for name in before if before[name] == after[name]] == []
    for key, step in (("End", 16), ("ArrowLeft", 15), ("Home", 0), ("Shift+ArrowRight", 10)):
        page.keyboard.press(key)
        settle(page)
        assert page.get_attribute("body", "data-step") == str(step)


def test_space_plays_to_the_end(show):
    page = show()
    page.select_option("#speed", "60")
    page.locator("#speed").blur()
    page.keyboard.press(" ")
    page.wait_for_selector('body[data-step="16"]', timeout=20_000)
    assert page.inner_text("#play") == "play"
    assert page.url.endswith("#run=0&episode=0&step=16")


def test_a_hover_tells_what_was_recorded(show, runs):
    page, arrays = show("#episode=0&step=4"), runs[0].episodes[0].arrays
    steps = LENGTHS[0]
    at = (6 + 0.5) / steps
    assert number(hover(page, "value", at, 0.5)) == pytest.approx(arrays["value"][6], rel=1e-3)
    text = hover(page, "read_weights", at, (7 + 2 + 0.5) / 14)
    assert text.startswith("step 6 · head 1 · slot 2 · ")
    assert number(text) == pytest.approx(arrays["read_weights"][6, 1, 2], rel=1e-3, abs=1e-6)
    text = hover(page, "memory", (3 + 0.5) / 5, (2 + 0.5) / 7)
    assert text.startswith("slot 2 · column 3 · ")
    assert number(text) == pytest.approx(arrays["memory"][4, 2, 3], abs=3e-4)
    text = hover(page, "sources", (2 + 0.5) / steps, (9 + 0.5) / steps)
    assert text.startswith("read at step 9 · from step 2 · ")
    assert number(text) == pytest.approx(arrays["sources"][9, 2], rel=1e-3, abs=1e-4)
    text = hover(page, "probabilities", 0.5, (1 + 0.5) / 3)
    assert text.startswith("right · ")
    assert number(text) == pytest.approx(arrays["probabilities"][4, 1], rel=1e-3)


def test_a_hover_tells_gates_and_allocation(show, runs):
    page, arrays = show("#episode=0&step=4"), runs[0].episodes[0].arrays
    at = (6 + 0.5) / LENGTHS[0]
    for name in ("write_gate", "allocation_gate"):
        text = hover(page, name, at, 0.5)
        assert text.startswith("step 6 · ")
        assert number(text) == pytest.approx(arrays[name][6, 0], rel=1e-3)
    text = hover(page, "allocation_weights", at, (2 + 0.5) / 7)
    assert text.startswith("step 6 · slot 2 · ")
    assert number(text) == pytest.approx(arrays["allocation_weights"][6, 2], rel=1e-3, abs=1e-6)


def test_a_hover_over_units_names_the_unit_and_not_its_row(show, runs):
    page = show("#episode=0&step=4")
    (panel,) = (each for each in runs[0].panels if each.array == "hidden")
    text = hover(page, "hidden", (6 + 0.5) / LENGTHS[0], (5 + 0.5) / 37)
    unit = panel.order[5]
    assert text.startswith(f"step 6 · unit {unit} · ")
    want = runs[0].episodes[0].arrays["hidden"][6, unit]
    assert number(text) == pytest.approx(want, abs=1e-3)


def test_units_are_sorted_by_the_cue_where_that_is_chosen(show, runs):
    page = show("#episode=0&step=4")
    (panel,) = (each for each in runs[0].panels if each.array == "hidden")
    before = pixels(page)
    page.select_option("#sorted", "cue")
    after = pixels(page)
    assert [name for name in before if before[name] != after[name]] == ["hidden map"]
    text = hover(page, "hidden", (6 + 0.5) / LENGTHS[0], (5 + 0.5) / 37)
    unit = panel.by_cue[5]
    share = float(f"{100 * panel.of_cue[unit]:.2g}")
    assert text.startswith(f"step 6 · unit {unit} · the cue explains {share:g}\u00a0% · ")
    want = runs[0].episodes[0].arrays["hidden"][6, unit]
    assert number(text) == pytest.approx(want, abs=1e-3)
    head = page.inner_text('.panel[data-array="hidden"] h4')
    assert f"by chance up to {float(f'{100 * panel.chance:.2g}'):g}\u00a0%" in head
    again = show("#" + page.url.partition("#")[2])
    assert again.eval_on_selector("#sorted", "select => select.value") == "cue"
    assert pixels(again)["hidden map"] == after["hidden map"]


def test_nothing_is_sorted_by_a_cue_that_nobody_knows(show, tmp_path):
    path = tmp_path / "inspect.html"
    write_page(path, [made_up_run()], title="dnc")
    assert show(path=path).locator("#sorting").is_hidden()


def test_a_hover_over_a_step_lights_up_its_sources(show):
    page = show("#episode=0&step=16")
    before = page.evaluate("document.querySelector('.strip canvas').toDataURL()")
    hover(page, "value", (1 + 0.5) / LENGTHS[0], 0.5)
    lit = page.evaluate("document.querySelector('.strip canvas').toDataURL()")
    assert lit != before
    page.mouse.move(1, 1)
    settle(page)
    assert page.evaluate("document.querySelector('.strip canvas').toDataURL()") == before


def test_episodes_are_filtered_and_sorted(show):
    page = show()
    assert listed(page) == [0, 1, 2, 3, 4]
    page.select_option("#outcome", "solved")
    assert listed(page) == [0, 3]
    page.select_option("#outcome", "failed")
    page.fill("#least-steps", "12")
    assert listed(page) == [4]
    page.select_option("#outcome", "all")
    page.fill("#most-steps", "17")
    assert listed(page) == [0, 4]
    page.fill("#least-steps", "")
    page.fill("#most-steps", "")
    page.click("th button[data-sort=length]")
    assert listed(page) == sorted(range(5), key=lambda i: -LENGTHS[i])
    page.click("th button[data-sort=length]")
    assert listed(page) == sorted(range(5), key=lambda i: LENGTHS[i])
    page.fill("#least-return", "0.9")
    assert listed(page) == [3]


def test_a_link_restores_what_was_shown(show):
    page = show("#episode=2&step=17")
    assert page.inner_text("#step") == "step 17 of 22"
    assert "episode 2" in page.inner_text("h2")
    page.click('tr[data-episode="4"] td')
    page.wait_for_selector("h2:has-text('episode 4')")
    page.keyboard.press("End")
    settle(page)
    again = show("#" + page.url.partition("#")[2])
    assert again.inner_text("#step") == "step 12 of 12"
    assert pixels(again) == pixels(page)


@pytest.mark.parametrize("link", ["#episode=99&step=-3", "#run=x&episode=&step=1e9", "#beside=7.7"])
def test_a_link_to_what_is_not_there_shows_what_is(show, link):
    assert show(link).locator(".panel").count() > 0


def test_two_runs_stand_side_by_side_and_move_together(show):
    page = show("#run=0&episode=0&step=3&beside=1.2")
    titles = page.locator("h2").all_inner_texts()
    assert "dnc" in titles[0]
    assert "gru" in titles[1]
    assert page.inner_text("#step") == "step 3 of 22"
    script = "[...document.querySelectorAll('.strip canvas')].map(strip => strip.toDataURL())"
    before = page.evaluate(script)
    page.keyboard.press("ArrowRight")
    settle(page)
    after = page.evaluate(script)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_an_episode_is_put_beside_another_and_away_again(show):
    page = show()
    page.click('tr[data-episode="2"] button')
    page.wait_for_selector("#views.two")
    assert page.url.endswith("&beside=0.2")
    page.click('tr[data-episode="2"] button')
    page.wait_for_selector("#views:not(.two)")


def test_dark_and_light_are_both_there(show):
    ground = "getComputedStyle(document.body).backgroundColor"
    page = show(scheme="dark")
    dark = pixels(page)
    assert page.evaluate(ground) == "rgb(20, 23, 27)"
    page.click("#theme")
    light = pixels(page)
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert [name for name in dark if dark[name] == light[name]] == ["frame picture"]


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("link", ["", "#beside=1.2"])
def test_nothing_is_wider_than_the_screen(show, size, link):
    page = show(link, size=size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_served_page_loads_itself_again_and_stays_where_it_was(browser, runs):
    page = browser.new_page(viewport=WIDE)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    with PageServer() as server:
        server.show(page_text(runs, title="first", version="steps-1"), "steps-1")
        page.goto(f"{server.url}#run=0&episode=2&step=5")
        ready(page)
        assert page.inner_text("h1") == "first"
        server.show(page_text(runs, title="second", version="steps-2"), "steps-2")
        page.wait_for_selector("h1:has-text('second')", timeout=10_000)
        ready(page)
        assert page.inner_text("#step") == "step 5 of 22"
    page.close()
    assert faults == []


def test_experiments_stand_below_the_episodes_of_their_run(show):
    page = show()
    (section,) = page.query_selector_all(".experiments")
    assert "dnc" in section.query_selector("h2").inner_text()
    rows = [row.inner_text().split("\t") for row in section.query_selector_all("tbody tr")]
    assert [row[0] for row in rows] == ["undisturbed", EVIL, "wiped once"]
    assert rows[2][1] == "25%"
    assert rows[2][3:6] == ["0.73 [0.667, 0.792]", "−0.25", "0.27"]
    assert rows[2][6:] == ["0.875 [0.813, 0.938]", "0.375 [0.313, 0.438]"]
    assert rows[1][6:] == ["", ""]
    head = section.query_selector("thead").inner_text()
    assert head.rstrip().endswith("sees its cue again\tsuccess of the others")
    assert (
        f"the last checkpoint, at 1,013 env steps · memrl 1.7 · commit {EVIL}"
        in section.inner_text()
    )
    assert section.query_selector(".marked") is None
    assert "0.75 [0.688, 0.813] was written by steps that saw it" in section.inner_text()
    assert f"by {EVIL}" in section.inner_text()
    heading = section.query_selector("h2")
    assert heading.bounding_box()["y"] > WIDE["height"]
    page.click("#to-experiments")
    settle(page)
    assert 0 < heading.bounding_box()["y"] < WIDE["height"]


def test_bars_and_curve_of_experiments_tell_their_numbers(show):
    page = show(size=NARROW)
    page.locator(".experiments .bar canvas").nth(2).hover()
    assert page.inner_text("#tip") == (
        "success 0.73 [0.667, 0.792] · change −0.25 [−0.313, −0.188]"
    )
    page.locator("figure canvas").hover(position={"x": 370 - 46, "y": 50})
    assert page.inner_text("#tip") == (
        "step 2 · memory 0.875 [0.813, 0.938] · observation 0.625 [0.563, 0.688] · commonest 0.5"
    )


def test_a_longer_bar_is_a_higher_success_in_both_themes(show):
    script = """() => [...document.querySelectorAll(".bar canvas")].map(canvas => {
        const middle = Math.round(canvas.height / 3);
        const row = canvas.getContext("2d").getImageData(0, middle, canvas.width, 1).data;
        const translucent = (opacity, i) => i % 4 === 3 && opacity > 60 && opacity < 220;
        return row.filter(translucent).length / canvas.width;
    })"""
    for scheme in ("light", "dark"):
        undisturbed, silenced, wiped = show(scheme=scheme).evaluate(script)
        assert silenced + 0.1 < wiped < undisturbed - 0.1


@pytest.mark.parametrize(
    ("checkpoint", "told"),
    [
        (made_up_report().checkpoint, "another checkpoint, at 1,013 env steps; the episodes above"),
        (None, "does not say of which checkpoint"),
    ],
)  # fmt: skip
def test_results_of_another_checkpoint_are_marked(show, tmp_path, checkpoint, told):
    path = tmp_path / "inspect.html"
    report = made_up_report().model_copy(update={"checkpoint": checkpoint})
    write_page(path, [made_up_run()._replace(experiments=report, env_steps=2027)], title="dnc")
    assert told in show(path=path).inner_text(".experiments .marked")


def test_a_page_without_experiments_does_not_speak_of_them(show, tmp_path):
    path = tmp_path / "inspect.html"
    write_page(path, [made_up_run()], title="dnc")
    page = show(path=path)
    assert page.locator(".experiments").count() == 0
    assert page.locator("#to-experiments").is_hidden()


def long_run(steps=500, slots=64, width=32):
    """An episode of a dnc with many slots, whose memory changes a slot a step."""
    draws = np.random.default_rng(3)
    memory = np.zeros((steps, slots, width), np.float16)
    writes = draws.dirichlet(np.full(slots, 0.02), steps)
    for t in range(1, steps):
        memory[t] = memory[t - 1] + writes[t][:, None] * draws.normal(size=width)
    arrays = {
        "probabilities": draws.dirichlet(np.ones(7), steps),
        "value": draws.random(steps),
        "reward": np.zeros(steps),
        "read_weights": draws.dirichlet(np.full(slots, 0.1), (steps, 4)),
        "write_weights": writes,
        "usage": draws.random((steps, slots)),
        "memory": memory,
        "link": draws.dirichlet(np.full(slots, 0.02), (steps, slots)).astype(np.float16),
    }
    episode = Episode(arrays, {}, {}, 3, None, ended=True, length=steps)
    return RunPage("dnc", {}, [episode], choose_panels([episode]), {})


def test_a_large_dnc_opens_in_two_seconds_and_plays_thirty_frames_a_second(show, tmp_path):
    path = tmp_path / "inspect.html"
    write_page(path, [long_run()], title="dnc")
    page = show(path=path)
    opened = int(page.get_attribute("body", "data-ready")) / 1000
    page.select_option("#speed", "60")
    begun, frames = time.perf_counter(), page.evaluate("app.frames")
    page.click("#play")
    page.wait_for_selector('body[data-step="499"]', timeout=60_000)
    rate = (page.evaluate("app.frames") - frames) / (time.perf_counter() - begun)
    print(f"opened in {opened:.2f} s, {rate:.1f} frames/s, {path.stat().st_size / 1e6:.1f} MB")
    assert opened <= 2.0
    assert rate >= 30.0
