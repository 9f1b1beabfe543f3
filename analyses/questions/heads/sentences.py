"""What the heads are, in plain sentences."""

from __future__ import annotations

from analyses.questions.answers import Answers
from analyses.questions.heads.head_types import random_note
from analyses.wording import count_text, head_type_label, percent_text

FIRM = 0.95
"""Share of resamples in which a type must stay the same to be called firm."""


def head_type_sentences(answers: Answers) -> list[str]:
    """Return what kinds of heads there are, and how firm that is."""
    counts = answers["head_types"]["head_type"].value_counts(sort=True)
    if counts.is_empty():
        return []
    listed = ", ".join(f"{count:,} {head_type_label(name)}" for name, count in counts.iter_rows())
    sentences = [f"Of {count_text(len(answers['head_types']), 'head')}: {listed}."]
    stability = answers["head_types"]["type_stability"].drop_nulls()
    if len(stability):
        num_firm = int((stability >= FIRM).sum())
        num_others = len(stability) - num_firm
        others = "; the others lie near a threshold" if num_others > 1 else "; the other one lies near a threshold"
        others = others if num_others else ""
        sentences.append(
            f"{num_firm:,} of them {'keeps its' if num_firm == 1 else 'keep their'} type in at least "
            f"{percent_text(FIRM)} of the resamples of the clusters{others}."
        )
    if answers["head_types"]["random_lift"].is_null().all() and answers.vocabulary:
        sentences.append(
            f"No random vocabularies were collected, so {answers.vocabulary} heads are judged against uniform "
            "attention only: a head that prefers rare or early words in general would count too."
        )
    elif (note := random_note(answers.run)) and answers.vocabulary:
        sentences.append(
            f"{note[0].upper()}{note[1:]}; {answers.vocabulary} heads exceed each of them, which is no significance."
        )
    return sentences
