"""What anybody wrote into ids, labels and answers cannot drive a terminal."""

import io

import polars as pl
import pytest

from analyses.query import _print
from analyses.reporting.terminal import print_summary
from engine.errors import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb\x08c\x7fd\x9be", r"a\rb\x08c\x7fd\x9be"),
        ("left\u202eright\u2066", r"left\u202eright\u2066"),
        ("a\n\tb é 漢 🙂 \u200d", "a\n\tb é 漢 🙂 \u200d"),
    ],
)
def test_control_characters_are_escapes(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_summary_of_an_analysis_holds_none(tmp_path, is_terminal):
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    print_summary([("Run", "\x1b[31mred")], ["label \x1b]0;x\x07"], tmp_path, partial="\x1b[2J", stream=stream)
    said = stream.getvalue()
    assert r"\x1b[31mred" in said and r"\x1b]0;x\x07" in said and "\x1b]" not in said and "\x1b[2J" not in said


def test_the_answer_of_a_query_holds_none(capsys):
    _print(pl.DataFrame({"sample_id": ["a\x1b[2J"]}))
    assert r"a\x1b[2J" in capsys.readouterr().out
