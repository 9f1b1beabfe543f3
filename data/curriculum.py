"""What the demo model is shown: drills, shortened and full prompts, bare answers, in balanced numbers.

All of it comes from training companies. Drills and jittered copies are invented figures; their directions
are the scorecard's. A stated share of the full prompts shows real figures with their true outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.answers import figure_line, render_answer
from data.prompts import (
    BALANCE_SHEET_ROWS,
    INCOME_STATEMENT_ROWS,
    ROW_NAMES,
    Statement,
    periods,
    question,
    table,
)
from data.samples import Sample, jitter, latest_period, shorten
from data.scorecard import Scorecard

#: Share of the full prompts that show a training company's real figures and its true outcome.
TRUE_SHARE = 0.08
#: Share of one-period prompts among the shortened and full ones.
ONE_PERIOD_SHARE = 0.25
ATTEMPTS = 8
#: Share of the drills whose answer repeats the table's order: the easiest copying comes first.
SAME_ORDER_SHARE = 0.5


DRILL, SHORT, FULL, BARE = range(4)
#: Samples of a kind for every full prompt of a batch: shorter ones come in larger batches.
PER_FULL_PROMPT = (3, 2, 1, 3)
#: What is judged in a bare answer: the words after copied figures, the ratios, the JSON values.
WORDS = re.compile(r"(?<=\d \| )[a-z ]+ \|$|(?<=: )[a-z]+$|(?<=\": \")\w+(?=\",)", flags=re.MULTILINE)


@dataclass(frozen=True)
class Stage:
    """One stage: steps, full prompts per step, and the shares of the four kinds of batches."""

    name: str
    steps: int
    batch: int
    mix: tuple[float, float, float, float]


@dataclass(frozen=True)
class Pair:
    """What the user says and what the model should answer; without a user, a bare answer."""

    user: str | None
    answer: str
    judged: tuple[tuple[int, int], ...] | None = None
    """Character spans of the answer that carry loss; all of it, and its end, if None."""


def drill(statement: Statement, rng: np.random.Generator) -> Pair:
    """Pick a few rows to copy in another order, each with its change: what must be learned first."""
    items = [str(i) for i in rng.choice(list(statement), size=int(rng.integers(1, 6)), replace=False)]
    shown = {item: statement[item] for item in statement if item in items}
    if rng.random() < SAME_ORDER_SHARE:
        items = list(shown)
    return Pair(table(shown, ROW_NAMES), "\n".join(figure_line(shown, item) for item in items))


def short_prompt(statement: Statement) -> str:
    """Both tables without the question."""
    return table(statement, BALANCE_SHEET_ROWS) + "\n" + table(statement, INCOME_STATEMENT_ROWS) + "\n"


class Curriculum:
    """Seeded source of (user text, answer text) pairs from labelled training samples."""

    def __init__(self, samples: Sequence[Sample], teacher: Scorecard, seed: int) -> None:
        self.samples = list(samples)
        self.teacher = teacher
        self.rng = np.random.default_rng(seed)
        self.two = [s for s in samples if periods(s.statement) == 2]
        self.by_label = {label: [s for s in samples if s.label == label.lower()] for label in ("Increase", "Decrease")}

    def jittered(self) -> Statement:
        """Invent a copy of a random training statement, one- or two-period."""
        if self.rng.random() < ONE_PERIOD_SHARE:
            source = self.samples[self.rng.integers(len(self.samples))]
            return jitter(latest_period(source.statement), self.rng)
        return jitter(self.two[self.rng.integers(len(self.two))].statement, self.rng)

    def balanced_copy(self) -> Statement:
        """Draw a jittered copy; both directions of the teacher equally often (within `ATTEMPTS`)."""
        wanted = bool(self.rng.integers(2))
        copy = self.jittered()
        for _ in range(ATTEMPTS):
            if (self.teacher.score(copy) > 0) == wanted:
                break
            copy = self.jittered()
        return copy

    def true_pair(self) -> Pair:
        """Real figures and the true outcome, both outcomes equally often."""
        direction = ("Increase", "Decrease")[int(self.rng.integers(2))]
        sample = self.by_label[direction][self.rng.integers(len(self.by_label[direction]))]
        statement = sample.statement
        if self.rng.random() < ONE_PERIOD_SHARE:
            statement = latest_period(statement)
        answer = render_answer(statement, self.teacher.verdict(statement, direction))
        return Pair(question(statement), answer)

    def pair(self, kind: int) -> Pair:
        """Make one pair of a kind; a bare answer is judged by its words alone, its figures are given."""
        if kind == DRILL:
            return drill(jitter(self.two[self.rng.integers(len(self.two))].statement, self.rng), self.rng)
        if kind == FULL and self.rng.random() < TRUE_SHARE:
            return self.true_pair()
        statement = self.balanced_copy()
        answer = render_answer(statement, self.teacher.verdict(statement))
        if kind == BARE:
            return Pair(None, answer, tuple(match.span() for match in WORDS.finditer(answer)))
        if kind == SHORT:
            return Pair(short_prompt(shorten(statement, self.rng)), answer)
        return Pair(question(statement), answer)

    def batches(self, stages: Sequence[Stage]) -> Iterator[tuple[str, list[Pair]]]:
        """Batches stage by stage; one kind per batch, so that its prompts have similar lengths."""
        for stage in stages:
            for _ in range(stage.steps):
                kind = int(self.rng.choice(len(PER_FULL_PROMPT), p=stage.mix))
                yield stage.name, [self.pair(kind) for _ in range(stage.batch * PER_FULL_PROMPT[kind])]
