"""One sample's tokens as a picture: what the page shades, as SVG, and as PNG for what takes no SVG."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from analyses.design import LIGHT

COLUMNS = 100
"""Letters in a line."""

_ADVANCE, _LINE, _MARGIN, _SIZE = 7.8, 20.0, 24.0, 13
"""Pixels of a letter and of a line, around the text, and the size of the letters; text is set to the first by the
picture itself (``textLength``), whatever font is there."""

_FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
_TAB = "    "


class _Piece(NamedTuple):
    """A part of a token that stands in one line."""

    text: str
    line: int
    column: int
    width: int
    position: int


def token_svg(
    title: str,
    what: str,
    shown: Sequence[str],
    values: np.ndarray,
    segments: Sequence[tuple[str, int, int]],
    decision: int | None,
) -> str:
    """Return a picture of a sample's tokens.

    Parameters
    ----------
    title, what
        What stands above the text: the sample, and what shades it.
    shown
        Text of each token, as the page shows it.
    values
        ``[tokens]``, 0 or more; the largest gets the full shade.
    segments
        Runs of one segment: name, first position, position after the last.
    decision
        Position of the row that decides, which gets a frame; None where there is none.
    """
    top = float(values.max(initial=0.0)) or 1.0
    heading = [title, *_wrapped(what)]
    body, line = [], len(heading) + 1
    for name, start, end in segments:
        body.append(_text(name, line, 0, f' fill="{LIGHT.muted}" font-size="{_SIZE - 2}"', fits=False))
        pieces = list(_pieces(shown[start:end], start, line + 1))
        body += [drawn for piece in pieces for drawn in _drawn(piece, values[piece.position] / top, decision)]
        line = (pieces[-1].line if pieces else line) + 2
    width, height = COLUMNS * _ADVANCE + 2 * _MARGIN, line * _LINE + 2 * _MARGIN
    head = [_text(text, at, 0, ' font-weight="bold"' if at == 0 else "", fits=False) for at, text in enumerate(heading)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}" font-family="{_FONT}" font-size="{_SIZE}" fill="{LIGHT.ink}" '
        f'xml:space="preserve"><rect width="100%" height="100%" fill="{LIGHT.paper}"/>\n'
        + "\n".join([*head, *body])
        + "\n</svg>\n"
    )


def png_of(svg: str) -> bytes:
    """Return a picture as PNG, drawn by a process of its own: what draws brings V8.

    Raises
    ------
    RuntimeError
        When it cannot be drawn.
    """
    code = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.svg_to_png(sys.stdin.read(), scale=2.0))"
    done = subprocess.run([sys.executable, "-c", code], input=svg.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError("the process that draws pictures died; the SVG is the same picture")
    return done.stdout


def _pieces(shown: Sequence[str], first: int, line: int) -> Iterator[_Piece]:
    """Yield the parts of tokens by the line and column that they stand in; lines break where they are full."""
    column = 0
    for position, token in enumerate(shown, start=first):
        for number, part in enumerate(token.replace("\t", _TAB).split("\n")):
            if number:
                line, column = line + 1, 0
            if column and _fitting(part, COLUMNS - column)[0] < len(part) == _fitting(part, COLUMNS)[0]:
                line, column = line + 1, 0  # a token stays whole where a line can hold it
            while part:
                taken, width = _fitting(part, COLUMNS - column)
                if taken:
                    yield _Piece(part[:taken], line, column, width, position)
                    part, column = part[taken:], column + width
                if part:
                    line, column = line + 1, 0


def _fitting(text: str, room: int) -> tuple[int, int]:
    """Return how many letters fit into so many columns, and how many they take: wide ones two, marks none."""
    width = 0
    for number, letter in enumerate(text):
        own = 0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width + own > room:
            return number, width
        width += own
    return len(text), width


def _drawn(piece: _Piece, weight: float, decision: int | None) -> Iterator[str]:
    frame = f' stroke="{LIGHT.accent}" stroke-width="2"' if piece.position == decision else ""
    if weight > 0 or frame:
        x, y = _MARGIN + piece.column * _ADVANCE, _MARGIN + piece.line * _LINE - 0.75 * _LINE
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{piece.width * _ADVANCE:.1f}" height="{0.95 * _LINE:.1f}" rx="2" '
            f'fill="rgb({LIGHT.shade})" fill-opacity="{0.85 * min(1.0, weight):.3f}"{frame}/>'
        )
    if piece.text.strip():
        yield _text(piece.text, piece.line, piece.column, width=piece.width)


def _text(text: str, line: int, column: int, more: str = "", *, width: int = 0, fits: bool = True) -> str:
    length = f' textLength="{width * _ADVANCE:.1f}" lengthAdjust="spacingAndGlyphs"' if fits else ""
    x, y = _MARGIN + column * _ADVANCE, _MARGIN + line * _LINE
    return f'<text x="{x:.1f}" y="{y:.1f}"{length}{more}>{escape(text)}</text>'


def _wrapped(text: str) -> list[str]:
    lines: list[str] = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > COLUMNS and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
