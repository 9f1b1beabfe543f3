"""An answer that goes on behind what it states, with words of correction, and ends with another label.

"Answer: B. Hmm, let me double-check … I made a mistake. The correct option is C." states neither B nor C beyond doubt:
which of them counts, only its writer knows. Explanations that name other labels take nothing back. In prose, so does
"EPS will increase, they say. I expect the opposite.", which leaves open what is the opposite of what.
"""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.mentions import Mentions, Reading
from engine.inputs.answers.prose import conclusion
from engine.inputs.answers.words import LabelWord


def taken_back(mentions: Mentions, stated: LabelWord, after: int, subject: re.Pattern[str] | None) -> Reading | None:
    """Return a conflict where words of correction stand behind a stated label, and another conclusion behind them.

    Parameters
    ----------
    mentions
        Of the whole text.
    stated
        The label that is stated.
    after
        Where its statement ends.
    subject
        What the label is asked of, where the config's field names it.
    """
    said = _corrects().search(mentions.text, after)
    if said is None:
        return None
    behind = mentions.behind(said.start())
    if not any(one.word.label != stated.label and not one.is_denied and not one.is_offered for one in behind.items):
        return None
    later = conclusion(behind, subject).reading
    if later.word is None or later.is_aside or later.word.label == stated.label:
        return None
    return Reading(None, "ambiguous_label", (stated.label, later.word.label), is_conflict=True)


def turned_round(mentions: Mentions, stated: LabelWord) -> Reading | None:
    """Return a conflict where a label in prose is followed by words that turn it round ("I expect the opposite")."""
    said = _reverses().search(mentions.text, stated.end)
    return Reading(None, "ambiguous_label", (stated.label,), is_conflict=True) if said else None


@cache
def _reverses() -> re.Pattern[str]:
    return re.compile(phrases(words_of(languages(), "reversals")), re.IGNORECASE)


@cache
def _corrects() -> re.Pattern[str]:
    return re.compile(phrases([*words_of(languages(), "corrections"), "hmm"]), re.IGNORECASE)
