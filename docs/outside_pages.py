"""Pages of the documentation that lie elsewhere in the checkout: launching, contributing, changes, notebooks.

mkdocs calls ``on_files``; links are turned so that they lead where the page now is; files that are no pages are named.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "launch/README.md": "launch.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
_MOST_LINES = 40
"""Lines of a cell's printed output that a page shows."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; called by mkdocs before it reads any."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=turned((ROOT / source).read_text(encoding="utf-8"), source)))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = notebook_page(json.loads(path.read_text(encoding="utf-8")), path.stem)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def turned(text: str, source: str) -> str:
    """Return a page's text with its relative links as the documentation has them; other files are named in code."""

    def replaced(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target:
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        page = PAGES.get(place, place.removeprefix("docs/") if place.startswith("docs/") else "")
        if not page or not page.endswith(".md"):
            return words if words.startswith("`") else f"{words} (`{place}`)"
        return f"[{words}]({page}{anchor})"

    return _LINK.sub(replaced, text)


def notebook_page(book: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook with its stored outputs as Markdown, and its pictures by name."""
    lines: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
            continue
        lines += ["```python", source, "```", ""]
        for output in cell.get("outputs", ()):
            lines += _shown(output, stem, pictures)
    lines += [f"*The notebook: `notebooks/{stem}.ipynb`.*"]
    return "\n".join(lines), pictures


def _shown(output: dict[str, Any], stem: str, pictures: dict[str, bytes]) -> list[str]:
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{stem}-{len(pictures)}.png"
        pictures[name] = base64.b64decode("".join(data["image/png"]))
        return [f"![What the cell shows]({name})", ""]
    if "text/html" in data and "<script" not in "".join(data["text/html"]):
        # A table that is wider than a telephone scrolls by itself.
        return ['<div style="overflow-x: auto" tabindex="0">', "".join(data["text/html"]), "</div>", ""]
    text = "".join(output.get("text", data.get("text/plain", "")))
    shown = text.rstrip().splitlines()
    more = [f"… {len(shown) - _MOST_LINES} more lines"] if len(shown) > _MOST_LINES else []
    return ["```text", *shown[:_MOST_LINES], *more, "```", ""] if shown else []
