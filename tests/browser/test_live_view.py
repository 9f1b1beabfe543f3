"""The live view in a real browser: without a complaint, by keyboard, on wide and narrow screens, hostile text inert."""

from __future__ import annotations

import threading

import pytest

from analyses.viewing.pages import Pages
from analyses.viewing.server import ViewServer
from analyses.viewing.source import open_viewed
from tests.fixtures.browsing import HOSTILE, PATIENCE
from tests.fixtures.synthetic_run import add_causes, add_texts, write_run

PATHS = ("/", "/sample?id=s00000&by=attribution", "/head?layer=1&head=1", "/side", "/sql?sql=SELECT+*+FROM+samples")

NAMELESS = """() => [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, a, [role=tab]')]
    .filter((one) => !(one.textContent || '').trim() && !one.ariaLabel && !(one.labels || []).length && !one.title)
    .map((one) => one.outerHTML.slice(0, 80))"""
"""Controls that a screen reader could not name."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    run_dir = write_run(
        tmp_path_factory.mktemp("live") / "run", num_samples=24, num_layers=2, num_heads=2, num_shards=1
    )
    add_causes(run_dir, 2, 2)
    add_texts(run_dir, hostile=HOSTILE)
    viewed = open_viewed([run_dir])
    with ViewServer(Pages(viewed), 0, read_again=lambda: Pages(viewed)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def opened(served, browser):
    contexts = []

    def open_page(width=1400, theme="light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        problems = []
        page.on("console", lambda said: said.type in ("error", "warning") and problems.append(said.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append("a dialog was opened"), dialog.dismiss()))
        page.goto(served.link)
        return page, problems, served.link.split("/?")[0]

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_every_page_is_quiet_fits_and_names_its_controls(opened, width, theme):
    page, problems, base = opened(width, theme)
    for path in PATHS:
        page.goto(base + path)
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0, path
        assert page.evaluate(NAMELESS) == [], path
        assert page.evaluate(f"{root}.dataset.theme") == theme
    assert problems == []


def test_hostile_text_is_shown_and_not_run(opened):
    page, problems, base = opened()
    page.goto(f"{base}/sample?id=s00000")
    assert "<script>window.stolen" in page.inner_text(".tokens.statement")
    assert page.evaluate("window.stolen === undefined") and problems == []
    assert page.locator("article img, article script").count() == 0


def test_from_the_list_to_a_head_and_to_its_strongest_sample(opened):
    page, problems, base = opened()
    page.locator("tbody a").first.click()
    page.wait_for_selector("article.sample")
    page.select_option("select[name=by]", "1")
    page.wait_for_url("**by=1**")
    assert "Head 1.1" in page.inner_text("article")
    page.goto(f"{base}/head?layer=1&head=1")
    page.wait_for_selector("[data-chart=values] svg.marks")
    page.locator("tbody a").first.click()
    page.wait_for_selector("article.sample")
    assert problems == []
