"""What a sentence claims, as data beside its words: counted in simulations, read by programs, never parsed from prose.

A sentence of a report is a ``Sentence``: text that carries its ``Claim``s. Whoever builds a sentence says there what it
asserts, of what, in which family of tests and at which level; the JSON of a report lists them
(``comparison_analysis_results.json``: ``claims``). A sentence without a claim describes or explains.

The first comparison's tests of heads are the primary family and keep ``analysis.alpha``. All other families of tests,
whatever chapter they stand in, share a second alpha: ``shared_levels`` gives each family its level by Holm over the
families' smallest p, so that the chance of any false claim in them all is at most alpha where each family keeps its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from analyses.wording import p_text

PRIMARY = "heads"
"""Name of the primary family."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One assertion.

    Attributes
    ----------
    kind
        ``difference``, ``stretch``, ``interaction``, ``correlation``, ``hypothesis``, ``order``, ``prediction``,
        ``effect``, ``contrast`` (right against wrong in an effect), ``attribution``, ``retrieval`` (a head fetches),
        ``retrieval difference``, ``reading``, ``change`` (between runs).
    family
        Family of tests that it belongs to; ``PRIMARY`` or a name of ``Answers.levels``.
    subject
        What it is about, in the names of the tables: "is_correct decision mass_profit 1.2".
    is_finding
        Whether something is asserted to be there; false: that it was looked for and not found.
    direction
        ``higher``, ``lower``, ``other`` or empty.
    value, ci_low, ci_high
        What was estimated, with its interval; None where the sentence gives none.
    pvalue, level
        The largest adjusted p that the claim rests on, and the level it was held against.
    count
        How many findings the sentence counts; 1 for a sentence on one.
    num_samples, num_clusters
        What it rests on.
    chapter, part
        Where the sentence stands; filled in where sentences are gathered.
    """

    kind: str
    family: str
    subject: str
    is_finding: bool
    direction: str = ""
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    pvalue: float | None = None
    level: float | None = None
    count: int = 1
    num_samples: int | None = None
    num_clusters: int | None = None
    chapter: str = ""
    part: str = ""

    def as_json(self) -> dict[str, object]:
        """Return it as a mapping for JSON."""
        return asdict(self)


class Sentence(str):
    """A sentence with its claims; a plain text wherever text is wanted."""

    __slots__ = ("claims",)
    claims: tuple[Claim, ...]

    def __new__(cls, text: str, *claims: Claim) -> Self:
        """Return the text with what it claims."""
        made = super().__new__(cls, text)
        made.claims = claims
        return made

    def with_text(self, text: str) -> Sentence:
        """Return other words for the same claims."""
        return Sentence(text, *self.claims)

    def placed(self, chapter: str, part: str) -> Sentence:
        """Return the sentence with its place in the report."""
        return Sentence(self, *(replace(claim, chapter=chapter, part=part) for claim in self.claims))


def claims_of(text: str) -> tuple[Claim, ...]:
    """Return what a sentence claims; nothing for plain text."""
    return text.claims if isinstance(text, Sentence) else ()


def direction_of(value: float | None) -> str:
    """Return ``higher`` or ``lower`` by the sign of a number."""
    if value is None or value == 0:
        return ""
    return "higher" if value > 0 else "lower"


def difference_claim(kind: str, family: str, subject: str, row: Mapping[str, Any], level: float) -> Claim:
    """Return the claim that right and wrong predictions differ, from a row of a table of tested differences."""
    return Claim(
        kind,
        family,
        subject,
        is_finding=True,
        direction=direction_of(row["difference"]),
        value=row["difference"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=row["pvalue_claim"],
        level=level,
        num_samples=row["num_a"] + row["num_b"],
        num_clusters=row["num_clusters"],
    )


def held_text(pvalue: float | None, level: float, alpha: float) -> str:
    """Return p in words, and its level where that is why a small p is no finding: "p = 0.039, its level is 0.0042"."""
    if pvalue is not None and level < pvalue <= alpha:
        return f"{p_text(pvalue)}, its level is {level:.2g}"
    return p_text(pvalue)


def shared_levels(smallest: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Return the level of each family by Holm's step-down over the families (Holm 1979).

    Families are ordered by the smallest p that any of their tests could be claimed at; the first is held against alpha
    over the number of families m, the next against alpha / (m - 1), and so on until one fails. That one and all after
    it have the level at which it failed, so that nothing in them passes.

    Parameters
    ----------
    smallest
        Smallest p of each family after adjustment within it; NaN for a family without a test, which does not count.
    alpha
        Level that all families share.
    """
    known = {name: pvalue for name, pvalue in smallest.items() if pvalue == pvalue}
    levels, stopped = dict.fromkeys(smallest, alpha), 0.0
    for place, name in enumerate(sorted(known, key=lambda name: known[name])):
        levels[name] = stopped or alpha / (len(known) - place)
        if known[name] > levels[name]:
            stopped = levels[name]
    return levels
