"""What to look at when rows cannot be used: only what can help for the reasons that were met."""

from __future__ import annotations

from collections.abc import Iterable

_FIELDS = "predictions.fields"
_SOURCE = "prompt.source"
_LABELS = "decision.labels"
_ANSWER = "decision.field"
_KEYS: dict[str, tuple[str, ...]] = {
    "missing_field": (_FIELDS, _SOURCE),
    "not_text": (_FIELDS, _SOURCE),
    "no_response": (_FIELDS, _SOURCE),
    "no_user_message": (_FIELDS, _SOURCE),
    "text_outside_turns": (_FIELDS, _SOURCE),
    "filtered": ("predictions.filter",),
    "no_label": (_LABELS, _ANSWER, _FIELDS),
    "ambiguous_label": (_LABELS, _ANSWER, "decision.pattern", _FIELDS),
    "denied_label": (_LABELS, "decision.negations"),
    "template_echo": (_ANSWER, _FIELDS),
    "no_decision": (_LABELS, _ANSWER, "decision.locate"),
    "unreadable_token_ids": (_FIELDS,),
    "token_ids_mismatch": (_FIELDS,),
}
_OF_FILES: dict[str, str] = {
    "unreadable_row": "Mend the file, or set predictions.format where another format is meant.",
    "row_too_large": "Leave out of the rows what is no part of prompt or answer.",
}
_ORDER = (
    _FIELDS,
    "predictions.filter",
    _SOURCE,
    _LABELS,
    _ANSWER,
    "decision.pattern",
    "decision.locate",
    "decision.negations",
)


def advice_on(reasons: Iterable[str]) -> str:
    """Return a sentence or two for the reasons of rejects; empty where the reasons themselves say all."""
    met = list(reasons)
    keys = {key for reason in met for key in _KEYS.get(reason, ())}
    parts = [_OF_FILES[reason] for reason in met if reason in _OF_FILES]
    if keys:
        named = [key for key in _ORDER if key in keys]
        parts.append(f"Check {', '.join(named[:-1])}{' and ' if len(named) > 1 else ''}{named[-1]}.")
    return " ".join(parts)
