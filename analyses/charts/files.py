"""Chart specifications to files: html, png, svg, pdf, json."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

PNG_SCALE = 2.0
"""Pixels per CSS pixel, so that exported pictures stay sharp in print."""


DRAWN = frozenset({"png", "svg", "pdf"})
"""Formats of pictures, which V8 draws."""


def vegalite_version(specification: Mapping[str, object]) -> str:
    """Return the "6.4" of a specification's ``$schema``."""
    return ".".join(str(specification["$schema"]).rpartition("/v")[2].split(".")[:2])


@cache
def javascript_bundle(version: str) -> str:
    """Return vega, vega-lite and vega-embed as one script that defines ``vegaEmbed``; safe inside ``<script>``."""
    import vl_convert  # brings V8, which only the process that exports may hold

    bundle = vl_convert.javascript_bundle(vl_version=version)  # pyright: ignore[reportCallIssue]
    return bundle.replace("</script", "<\\/script")


def as_json(content: object) -> str:
    """Return JSON that cannot end a ``<script>`` element, whatever text it carries."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    hidden = {"<": "\\u003c", ">": "\\u003e", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return text.translate(str.maketrans(hidden))


def write_chart(
    specification: dict[str, object], title: str, stem: Path, formats: Sequence[str], bundle: str = ""
) -> list[Path]:
    """Write one chart next to ``stem`` in each format and return the files.

    Parameters
    ----------
    bundle
        The script that draws charts in a page, where it is at hand: without it HTML needs V8 in this process.
    """
    contents: dict[str, bytes] = {}
    if DRAWN & set(formats):
        import vl_convert

        svg = vl_convert.vegalite_to_svg(specification, vl_version=vegalite_version(specification))
        contents["svg"] = svg.encode()
        if "png" in formats:
            contents["png"] = vl_convert.svg_to_png(svg, scale=PNG_SCALE)
        if "pdf" in formats:
            contents["pdf"] = vl_convert.svg_to_pdf(svg)
    if "html" in formats:
        contents["html"] = _page(specification, title, bundle).encode()
    if "json" in formats:
        contents["json"] = json.dumps(specification, ensure_ascii=False).encode()
    paths = [stem.with_suffix(f".{kind}") for kind in formats]
    for kind, path in zip(formats, paths, strict=True):
        path.write_bytes(contents[kind])
    return paths


def _page(specification: dict[str, object], title: str, bundle: str) -> str:
    bundle = bundle or javascript_bundle(vegalite_version(specification))
    config = specification.get("config")
    background = config.get("background", "white") if isinstance(config, dict) else "white"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n<style>body {{ background: {background}; margin: 2rem }}</style>\n"
        f"<script>{bundle}</script></head>\n<body><div id=chart></div>\n"
        f"<script>vegaEmbed('#chart', {as_json(specification)}, {{actions: true}})</script></body></html>\n"
    )
