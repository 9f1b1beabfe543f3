"""Make the pictures of a run's report and of its live view: ``python docs/make_screenshots.py RUN_DIR`` (a minute).

Needs playwright and a Chromium (pip extra: test); HEADLEDGER_BROWSER may name one.
"""

import argparse
import os
import shutil
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from analyses.viewing.pages import Pages
from analyses.viewing.server import ViewServer
from analyses.viewing.source import open_viewed

FOLDER = Path(__file__).parent / "screenshots"
PATIENCE = 180_000
"""Milliseconds that a busy machine may take for any step."""

REPORT = {
    "desktop": (1400, 1000, "light"),
    "desktop-dark": (1400, 1000, "dark"),
    "phone": (390, 844, "light"),
}
"""Picture of the top of the report to width, height and theme."""


def find_browser() -> str:
    """Return the Chromium to draw with."""
    named = os.environ.get("HEADLEDGER_BROWSER")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("No Chromium is on the path; HEADLEDGER_BROWSER may name one.")
    return found


def picture_report(browser: Browser, report: Path) -> None:
    """Picture the top of a report, on a desktop, in the dark and on a telephone."""
    for name, (width, height, theme) in REPORT.items():
        page = browser.new_context(viewport={"width": width, "height": height}, offline=True).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(report.resolve().as_uri(), wait_until="commit")
        page.wait_for_selector("html[data-drawn=yes]")
        if page.evaluate("document.documentElement.dataset.theme") != theme:
            page.click("#theme")
            page.wait_for_timeout(3000)
        page.screenshot(path=FOLDER / f"{name}.png")
        page.context.close()


def picture_view(browser: Browser, run_dir: Path) -> None:
    """Picture one sample in the live view: the one whose answer has the largest lead."""
    viewed = open_viewed([run_dir])
    samples = viewed[0].run.samples.sort("label_probability", descending=True, nulls_last=True)
    with ViewServer(Pages(viewed), 0, read_again=lambda: Pages(viewed)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(server.link)
        page.goto(f"{server.link.split('?')[0]}sample?id={samples['sample_id'][0]}")
        page.screenshot(path=FOLDER / "live-view.png")
        page.context.close()
        server.shutdown()


def main() -> None:
    """Write every picture."""
    parser = argparse.ArgumentParser(description="Pictures of a run's report and of its live view.")
    parser.add_argument("run_dir", type=Path, help="an analysed run")
    run_dir = parser.parse_args().run_dir
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        picture_report(browser, run_dir / "analysis" / "report.html")
        picture_view(browser, run_dir)
        browser.close()
    print(f"Pictures are in {FOLDER}")


if __name__ == "__main__":
    main()
