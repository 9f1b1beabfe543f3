"""What pushed the answers, at the top of the report: one line, with the strongest finding by name and value."""

from __future__ import annotations

from analyses.questions.answers import Answers
from analyses.questions.attributions.sentences import FAMILY, found, keys_text, towards_text
from analyses.questions.chapters import Headline
from analyses.questions.claims import held_text
from analyses.wording import count_text, signed_text

_LINK = "attributions"


def attribution_headlines(answers: Answers) -> list[Headline]:
    """Return how many attributions differ between right and wrong answers, and the largest, if tested."""
    tested = answers["attribution_differences"].drop_nulls("pvalue_claim")
    if tested.is_empty():
        return []
    level, least = answers.level(FAMILY), float(tested["pvalue_claim"].min())  # pyright: ignore[reportArgumentType]
    counted, certain = count_text(len(tested), "attribution"), found(tested, level)
    if certain.is_empty():
        held = held_text(least, level, answers.settings.alpha)
        text = f"Attribution: none of {counted} differs between right and wrong answers (at best {held})."
        return [Headline(text, _LINK, pvalue=least)]
    row = certain.row(0, named=True)
    text = (
        f"Attribution: {len(certain):,} of {counted} {'differs' if len(certain) == 1 else 'differ'} between right and "
        f"wrong answers. Head {row['layer']}.{row['head']} carries {keys_text(row)} towards "
        f"{towards_text(answers, row)}: {signed_text(row['mean_b'], 2)} nats in wrong answers, "
        f"{signed_text(row['mean_a'], 2)} in right ones."
    )
    return [Headline(text, _LINK, pvalue=least, is_finding=True)]
