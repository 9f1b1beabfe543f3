"""Report and live view by axe-core's rules of WCAG 2.2 A and AA, wide and narrow, light and dark."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from analyses.viewing.pages import Pages
from analyses.viewing.server import ViewServer
from analyses.viewing.source import open_viewed
from tests.fixtures.browsing import HOSTILE, PATIENCE
from tests.fixtures.synthetic_run import add_causes, add_texts, add_token_attributions, write_run

SCREENS = [
    (1400, "light"),
    (390, "dark"),
    pytest.param(1400, "dark", marks=pytest.mark.soak),
    pytest.param(390, "light", marks=pytest.mark.soak),
]
"""Each width and each theme; the other two pairs with the tests that take longer."""
PATHS = ("/", "/sample?id=s00000&by=attribution", "/head?layer=1&head=1", "/side", "/sql?sql=SELECT+*+FROM+samples")

BROKEN = """async () => (await axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'],
})).violations.map((rule) => [rule.id, rule.help, rule.nodes.length,
    rule.nodes.slice(0, 3).map((node) => node.html)])"""


CONTRAST = """() => {
    const luminance = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const [ink, paper] = [
        getComputedStyle(document.querySelector('#vg-tooltip-element td.key')).color,
        getComputedStyle(document.querySelector('#vg-tooltip-element')).backgroundColor,
    ].map(luminance);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}"""
"""Of the names in a chart's tooltip, by WCAG 2.2's formula: a tooltip is gone before axe looks at it."""


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the source of axe-core, which the pip extra brings."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text()


def broken(page, axe):
    page.evaluate(axe)
    return page.evaluate(BROKEN)


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_the_report_breaks_no_rule(report, visit, axe, width, theme):
    page = visit(report, width).page
    if theme == "dark":
        page.click("#theme")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert broken(page, axe) == []
    page.locator("[data-chart=head_map] svg.marks .mark-rect path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible td.key")
    assert page.evaluate(CONTRAST) >= 4.5


@pytest.fixture(scope="module")
def link(tmp_path_factory):
    """Serve a run with everything that the view can show."""
    run_dir = write_run(tmp_path_factory.mktemp("axe") / "run", num_samples=24, num_layers=2, num_heads=2, num_shards=1)
    add_causes(run_dir, 2, 2)
    add_texts(run_dir, hostile=HOSTILE)
    add_token_attributions(run_dir)
    viewed = open_viewed([run_dir])
    with ViewServer(Pages(viewed), 0, read_again=lambda: Pages(viewed)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.link
        server.shutdown()


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_the_live_view_breaks_no_rule(link, browser, axe, width, theme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(link)
    found = {}
    for path in PATHS:
        page.goto(link.split("/?")[0] + path)
        found[path] = broken(page, axe)
    context.close()
    assert found == {path: [] for path in PATHS}


def test_the_rules_are_applied(browser, axe):
    """A page with a nameless button and grey on grey breaks them."""
    page = browser.new_page()
    page.set_content("<html><body><button></button><p style='color:#aaa;background:#bbb'>text</p></body></html>")
    assert {"button-name", "color-contrast", "html-has-lang"} <= {rule for rule, *_ in broken(page, axe)}
    page.close()
