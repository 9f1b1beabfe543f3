"""Pages that the documentation takes from elsewhere, and the navigation that names them."""

from __future__ import annotations

import importlib.util
import re

import yaml

from tests.fixtures.places import ROOT


def hook(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_lead_where_the_page_is():
    turned = hook("outside_pages").turned
    assert turned("[a](docs/faults.md#doors)", "CONTRIBUTING.md") == "[a](faults.md#doors)"
    assert turned("[b](../docs/models.md)", "launch/README.md") == "[b](models.md)"
    assert turned("[d](#here) [e](https://x.y/z)", "launch/README.md") == "[d](#here) [e](https://x.y/z)"
    assert turned("[licence](LICENSE)", "README.md") == "licence (`LICENSE`)"
    assert turned("[`c`](slurm/sites/quest.sh)", "launch/README.md") == "`c`"
    assert turned("[start](launch/README.md)", "README.md") == "[start](launch.md)"


def test_a_notebook_is_a_page_with_what_its_cells_showed():
    book = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title"]},
            {
                "cell_type": "code",
                "source": ["1 + 1"],
                "outputs": [
                    {"data": {"text/plain": ["2"]}},
                    {"data": {"image/png": "aGk=", "text/plain": ["chart"]}},
                    {"text": [f"line {n}\n" for n in range(50)]},
                    {"data": {"text/html": ["<script>no</script>"], "text/plain": ["object"]}},
                ],
            },
        ]
    }
    text, pictures = hook("outside_pages").notebook_page(book, "book")
    assert pictures == {"book-0.png": b"hi"} and "![What the cell shows](book-0.png)" in text
    assert "```text\n2\n```" in text and "… 10 more lines" in text and "<script>" not in text and "object" in text


def test_the_navigation_names_every_page_once():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text().replace("!!python", "python"))
    named = re.findall(r"[\w/.-]+\.md", str(settings["nav"]))
    made = [*hook("outside_pages").PAGES.values(), *re.findall(r'"(reference/[\w-]+\.md)"', source("reference_pages"))]
    made += [f"notebooks/{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")]
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted([*made, *written])


def source(name):
    return (ROOT / "docs" / f"{name}.py").read_text()


def test_every_message_that_the_questions_explain_is_said_somewhere():
    source = " ".join(path.read_text() for folder in ("engine", "analyses") for path in (ROOT / folder).rglob("*.py"))
    said = " ".join(re.sub(r'"\s*f?"', "", source).split())
    table = (ROOT / "docs" / "faq.md").read_text().partition("## Errors")[2].partition("## Questions")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| `")]
    parts = [part.strip() for row in rows for text in re.findall(r"`([^`]+)`", row) for part in text.split("…")]
    assert len(parts) > 10 and not [part for part in parts if part not in said]
