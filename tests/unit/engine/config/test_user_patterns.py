"""Regular expressions of a config: refused where they cannot be used, given up where they take for ever."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from engine.config.user_patterns import UserPattern
from engine.errors import ConfigError
from engine.run import main

CATASTROPHIC = ["(a+)+b", "(a|a)*b", r"(\w+\s?)+:", "(a*)*b", "(.*)*=(.*)*;"]
"""Each takes longer than the universe on 40 letters; the last two are of the ways people write them."""


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("engine.config.user_patterns.SECONDS_PER_TEXT", 0.1)


@pytest.mark.parametrize("text", CATASTROPHIC)
def test_a_pattern_that_takes_for_ever_is_given_up(impatient, text):
    with pytest.raises(ConfigError, match=re.escape("key_groups.x.regex") + r".*0\.1 s on one text of 4,000 char"):
        UserPattern("key_groups.x.regex", text).matches("a" * 4000)


def test_the_timer_is_gone_afterwards_and_its_signal_what_it_was(impatient):
    called = []
    before = signal.signal(signal.SIGVTALRM, lambda *_: called.append(1))
    try:
        pattern = UserPattern("w", "b+")
        assert [match.span() for match in pattern.matches("abba b")] == [(1, 3), (5, 6)]
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        signal.raise_signal(signal.SIGVTALRM)
        assert called == [1]
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_matches_are_those_of_re_with_flags_and_in_any_thread():
    text, found = "one\ntwo\n", []
    pattern = UserPattern("w", r"^\w", re.MULTILINE)
    thread = threading.Thread(target=lambda: found.extend(match.group() for match in pattern.matches(text)))
    thread.start()
    thread.join()
    assert found == ["o", "t"] == [match.group() for match in pattern.matches(text)]


@pytest.mark.parametrize(
    "text", ["(", "(" * 20_000 + ")" * 20_000, "a{99999999999999999999}", "(?P<a>x)(?P<a>y)"], ids=range(4)
)
@pytest.mark.parametrize("where", ["key_groups.x.regex", "decision.pattern"])
def test_a_pattern_that_cannot_be_compiled_is_a_sentence(config_file, capsys, where, text):
    override = f"{where}={text!r}" if where == "decision.pattern" else f"key_groups={{x: {{regex: {text!r}}}}}"
    assert main([str(config_file), override, "--stage", "plan"]) == 2
    said = capsys.readouterr().err
    assert where.partition(".")[0] in said and "Traceback" not in said and len(said) < 600


@pytest.mark.parametrize(
    "override", [r"key_groups={x: {regex: '(\w+\s?)+§'}}", r"decision.pattern='(\w+\s?)+§'"], ids=["group", "answer"]
)
def test_planning_with_such_a_pattern_ends_in_a_sentence(config_file, capsys, impatient, override):
    assert main([str(config_file), override, "decision.field=null", "--stage", "plan"]) == 2
    said = capsys.readouterr().err
    assert override.partition("=")[0] in said and "was given up after 0.1 s" in said
