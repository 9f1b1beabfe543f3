"""Findings in plain sentences, each with n, interval, adjusted p and replication, in the weakest honest wording."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from analyses.questions import registry
from analyses.questions.answers import Answers
from analyses.questions.causes.sentences import cause_text
from analyses.questions.claims import PRIMARY, Sentence, claims_of
from analyses.reporting.references import versions_line
from analyses.wording import count_text

CAVEAT = (
    "Attention describes where a head reads from, not why the model answers as it does. A difference between right and "
    "wrong predictions is an association: other things differ between these samples too. Whether a head matters for "
    "the answer can only be shown by intervening on it."
)

_HEAD = re.compile(r"Head (\d+)\.(\d+) ")
"""How a claim about one head begins; sentences on its causes name it with a colon."""


def findings(answers: Answers) -> dict[str, list[str]]:
    """Return the sentences of every question by the part that they belong to.

    Every claim about a head ends with what intervening on it did, or that nobody did.
    """
    chapter_of = {part.name: part.chapter.name for question in registry.QUESTIONS for part in question.parts}
    return {
        part: [
            Sentence(f"{line}{_cause_of(answers, line)}", *claims_of(line)).placed(chapter_of[part], part)
            for line in lines
        ]
        for question in registry.QUESTIONS
        for part, lines in question.sentences(answers).items()
    }


def claims(sentences: Mapping[str, Sequence[str]]) -> list[dict[str, object]]:
    """Return every claim of the report's sentences with the sentence it belongs to, JSON-ready."""
    return [
        {"sentence": str(line), **claim.as_json()}
        for lines in sentences.values()
        for line in lines
        for claim in claims_of(line)
    ]


def level_lines(answers: Answers, sentences: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what counts as a finding: the level of the primary family, that of all others, and how many there are."""
    alpha, noun = answers.settings.alpha, "family"
    found = [claim for lines in sentences.values() for line in lines for claim in claims_of(line) if claim.is_finding]
    primary = sum(claim.family == PRIMARY for claim in found)
    further = {claim.family for claim in found} - {PRIMARY}
    name = answers.comparison.name if answers.comparison else "no comparison"
    counted = f"{count_text(len(further), noun)} of {len(answers.levels):,} with a finding"
    counted = counted if answers.levels else "none was tested"
    lines = [
        f"Heads by {name} are the primary family, at level {alpha:g}: {'something' if primary else 'nothing'} was "
        f"found there. All other tests are further findings and share a second level of {alpha:g}, adjusted across "
        f"their families by Holm: {counted}."
    ]
    draws, least = answers.settings.permutations, min(answers.levels.values(), default=alpha)
    if draws and 1 / (draws + 1) > least:
        lines.append(
            f"The smallest level is {least:.2g}, and {draws:,} permutations give no p below {1 / (draws + 1):.2g}: "
            "stretches of layers and effects of interventions could not pass there. Raise analysis.permutations."
        )
    return lines


def method_lines(answers: Answers) -> list[str]:
    """Return what was tested and how, as paragraphs."""
    lines = [line for question in registry.QUESTIONS for line in question.method(answers)]
    alpha = answers.settings.alpha
    families = "; ".join(f"{name} ({level:.2g})" for name, level in answers.levels.items())
    shared = (
        f"Families: heads by the first comparison keep {alpha:g}. The others share {alpha:g} by Holm over the smallest "
        f"p of each, which gives them these levels: {families or 'none was tested'}."
    )
    return [*lines, shared, versions_line()]


def _cause_of(answers: Answers, line: str) -> str:
    head = _HEAD.match(line)
    return cause_text(answers, int(head[1]), int(head[2])) if head else ""
