"""The report in short: at most seven sentences, the most decisive ones; everything else is in its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyses.questions import registry
from analyses.questions.answers import Answers
from analyses.reporting.findings import level_lines

MAX_HEADLINES = 7


def headlines(answers: Answers, sentences: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the first sentences that questions have for it; ``sentences`` as from ``findings.findings``."""
    lines = [line for question in registry.QUESTIONS for line in question.headlines(answers, sentences)]
    return [*lines[:1], *level_lines(answers, sentences), *lines[1:]][:MAX_HEADLINES]
