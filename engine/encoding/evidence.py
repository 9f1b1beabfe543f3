"""Where a record's gold passages stand in the prompt as the model saw it, in characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.encoding.structure import Structure
from engine.samples import Evidence, RowRejected
from engine.schema import EVIDENCE

NO_EVIDENCE, REPEATED, CUTS_WORDS = "no_evidence", "evidence_repeated", "evidence_cuts_words"
"""Flags: the record names none; a text stands in the prompt several times; a passage begins or ends inside a word."""

_JOINED = re.compile(r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""A letter or digit of a script that puts blanks between words."""


def add_evidence(structure: Structure, prompt: str, evidence: Evidence | None) -> list[str]:
    """Add the characters of the gold passages to a prompt's structure, and return flags.

    Raises
    ------
    RowRejected
        When a passage is not in the prompt, or pairs of characters do not lie in the text that they count in.
    """
    if evidence is None:
        return []
    if not evidence.texts and not evidence.spans:
        return [NO_EVIDENCE]
    found: list[tuple[int, int]] = []
    flags: list[str] = []
    for text in evidence.texts:
        places = _places(structure, prompt, text)
        flags += [REPEATED] if len(places) > 1 else []
        found += places
    if evidence.spans:
        found += _shifted(prompt, evidence)
    if any(_cuts(prompt, start) or _cuts(prompt, end) for start, end in found):
        flags.append(CUTS_WORDS)
    structure.groups[EVIDENCE] = sorted(found)
    return list(dict.fromkeys(flags))


def _cuts(text: str, place: int) -> bool:
    """Whether a place lies inside a word."""
    return 0 < place < len(text) and bool(_JOINED.match(text[place - 1]) and _JOINED.match(text[place]))


def _places(structure: Structure, prompt: str, text: str) -> list[tuple[int, int]]:
    """Return where a text stands in the messages: as whole words, or, where it never does, inside of words.

    Raises
    ------
    RowRejected
        When it stands nowhere.
    """
    text = text.strip()
    inside = [span for segment, span in structure.segments if segment != "statement"] or [(0, len(prompt))]
    found: list[tuple[int, int]] = []
    for first, end in inside:
        start = prompt.find(text, first, end)
        while start >= 0:
            found.append((start, start + len(text)))
            start = prompt.find(text, start + 1, end)
    found = list(dict.fromkeys(found))
    if not found:
        raise RowRejected(
            "encode",
            "evidence_not_found",
            f"The evidence {text[:60]!r} ({len(text)} characters) does not stand in the prompt's messages, letter by "
            f"letter. Give the passage as the prompt has it, or pairs of characters.",
        )
    whole = [place for place in found if not any(_cuts(prompt, edge) for edge in place)]
    return whole or found


def _shifted(prompt: str, evidence: Evidence) -> list[tuple[int, int]]:
    """Return the pairs of characters as places in the prompt.

    Raises
    ------
    RowRejected
        When they lie outside of the text that they count in, or that text is not in the prompt just once.
    """
    reference = evidence.reference
    if reference is None:
        raise _out(
            "evidence_without_text",
            "there is not one text that pairs of characters could count in (several "
            "messages of the user's, or a transcript that is rendered again)",
        )
    kept = reference.strip()
    blanks = len(reference) - len(reference.lstrip())
    places = _all(prompt, kept)
    if len(places) != 1:
        raise _out(
            "evidence_without_text",
            f"the text that pairs of characters count in stands in the prompt {len(places)} times, not once",
        )
    shifted = []
    for start, end in evidence.spans:
        if not 0 <= start < end <= len(reference) or not reference[start:end].strip():
            raise _out(
                "evidence_out_of_range",
                f"[{start}, {end}] is no stretch of the {len(reference)} characters of the recorded prompt. Characters "
                f"count from 0, not bytes or tokens, and the second is one past the last",
            )
        first, last = max(start - blanks, 0), min(end - blanks, len(kept))
        shifted.append((places[0] + first, places[0] + last))
    return shifted


def _all(text: str, part: str) -> Sequence[int]:
    return [match.start() for match in re.finditer(f"(?={re.escape(part)})", text)] if part else []


def _out(reason: str, why: str) -> RowRejected:
    return RowRejected("encode", reason, f"The evidence cannot be placed: {why}. Texts of the prompt work everywhere.")
