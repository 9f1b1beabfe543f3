"""A real Chromium without network, and a report with everything in it; skipped with the reason where there is none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from analyses.reporting.write import analyze
from tests.fixtures.browsing import HOSTILE, PATIENCE
from tests.fixtures.synthetic_run import add_causes, add_metadata, add_texts, write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Return the browser of HEADLEDGER_BROWSER or of the path; None where there is none."""
    named = os.environ.get("HEADLEDGER_BROWSER")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    """Return a running Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip extra: test)")
    path = find_browser()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path (HEADLEDGER_BROWSER may name one)")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


class Visit:
    """A page that is open, and what it complained of or asked of the network."""

    def __init__(self, browser, path: Path, width: int, height: int = 900, **options) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.problems.append(said.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append("a dialog was opened"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(path.resolve().as_uri(), wait_until="commit")
        self.page.wait_for_selector("html[data-drawn=yes]")

    @property
    def external(self) -> list[str]:
        """Return requests that left the machine."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")


@pytest.fixture
def visit(browser):
    """Open a page; every one is closed at the end of the test."""
    opened: list[Visit] = []

    def open_page(path: Path, width: int = 1280, **options) -> Visit:
        opened.append(Visit(browser, path, width, **options))
        return opened[-1]

    yield open_page
    for one in opened:
        one.context.close()


@pytest.fixture(scope="module")
def seen(browser, report):
    """The report, opened once: for tests that look at it, or set first what they look at, and leave the theme alone."""
    opened = Visit(browser, report, 1280)
    yield opened
    opened.context.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """Return the page of a run with causes, hostile texts and two comparisons."""
    run_dir = tmp_path_factory.mktemp("browser") / "full"
    write_run(
        run_dir,
        num_samples=60,
        num_layers=3,
        num_heads=4,
        num_clusters=25,
        num_shards=2,
        planted={("decision", "mass_profit", 1, 2): 0.15},
    )
    add_causes(run_dir, 3, 4)
    add_texts(run_dir, hostile=HOSTILE)
    groups = ["is_correct", {"name": "certainty", "column": "certainty", "a": "High", "b": "Low"}]
    fits = {"folds": 3, "repeats": 1, "permutations": 2, "screened": 10}
    add_metadata(
        run_dir,
        {
            "run": {"name": "<script>window.stolen = 3</script>", "seed": 7},
            "analysis": {"permutations": 99, "decodability": fits, "groups": groups},
            "visualization": {"formats": ["json"]},
        },
    )
    return analyze(run_dir).report
