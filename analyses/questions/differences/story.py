"""What differs, at the top of the report: one line per comparison, and the tile of the heads that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.chapters import Headline, Tile
from analyses.questions.claims import held_text
from analyses.questions.comparisons import Comparison
from analyses.questions.differences.sentences import heads_family
from analyses.questions.differences.sentences_beyond_heads import beside_heads
from analyses.questions.families import claim_pvalue, is_certain
from analyses.wording import count_text, difference_text, p_text, plural, query_group_label, statistic_label

_EVIDENCE = "difference_map"


@dataclass(frozen=True)
class _Found:
    """What the tests of one comparison came to.

    ``num_heads`` heads were tested, in ``num_tests`` tests; of ``num_differing`` a test passes every check, and of
    ``num_confirmed`` (None where nothing was kept apart) such a test also holds on the clusters kept apart. ``best`` is
    the row of ``group_differences`` with the smallest p, ``pvalue`` the largest p that its claim rests on.
    """

    comparison: Comparison
    num_heads: int
    num_tests: int
    num_significant: int
    num_differing: int
    num_confirmed: int | None
    best: dict[str, Any] | None
    pvalue: float | None

    @property
    def sides(self) -> str:
        return f"{self.comparison.label_a} and {self.comparison.label_b} samples"


def _found(answers: Answers, comparison: Comparison) -> _Found:
    tested = answers.tests_of(comparison.name).drop_nulls("pvalue")
    certain = tested.filter(is_certain(answers.level(heads_family(answers, comparison.name))))
    again = certain.filter(pl.col("is_replicated"))
    is_kept = certain["is_replicated"].is_not_null().any()
    ranked = tested.with_columns(claim=claim_pvalue()).sort("claim", "pvalue", nulls_last=True)
    return _Found(
        comparison,
        tested.select("layer", "head").n_unique() if len(tested) else 0,
        len(tested),
        len(certain),
        _num_heads(certain),
        _num_heads(again) if is_kept else None,
        ranked.row(0, named=True) if len(ranked) else None,
        ranked["claim"][0] if len(ranked) else None,
    )


def _num_heads(tests: pl.DataFrame) -> int:
    return tests.select("layer", "head").n_unique() if len(tests) else 0


def comparison_headlines(answers: Answers) -> list[Headline]:
    """Return one line per comparison: how many heads differ, how many were confirmed, the strongest."""
    return [_headline(answers, comparison) for comparison in answers.comparisons]


def _headline(answers: Answers, comparison: Comparison) -> Headline:
    if comparison.problem:
        return Headline(comparison.problem, _EVIDENCE)
    found = _found(answers, comparison)
    start = f"{comparison.label_a[:1].upper()}{comparison.label_a[1:]} against {comparison.label_b}"
    size = f"n = {int(comparison.is_a.sum()):,} and {int(comparison.is_b.sum()):,}"
    best = found.best
    if best is None:
        return Headline(f"{start}: no test could be made ({size}).", _EVIDENCE)
    head = f"head {best['layer']}.{best['head']} ({query_group_label(best['query_group'])})"
    if not found.num_differing:
        text = (
            f"{start}: no head is shown to differ ({count_text(found.num_tests, 'test')} of "
            f"{count_text(found.num_heads, 'head')}, {size}; nearest to it is {head}, {_held(answers, found)} after "
            "all checks)."
        )
        if beside := beside_heads(answers, comparison.name):
            text += f" But {beside}."
        return Headline(text, _EVIDENCE, pvalue=found.pvalue)
    text = (
        f"{start}: {found.num_differing:,} of {found.num_heads:,} heads {_differ(found)}, {_confirmed(answers, found)} "
        f"({found.num_significant:,} of {count_text(found.num_tests, 'test')}, {size}). Strongest is {head}: "
        f"{statistic_label(best['statistic']).lower()} {difference_text(best['statistic'], best['difference'])} in "
        f"{comparison.label_a} samples ({p_text(found.pvalue)} after all checks)."
    )
    return Headline(text, _EVIDENCE, pvalue=found.pvalue, is_finding=True)


def _held(answers: Answers, found: _Found) -> str:
    level = answers.level(heads_family(answers, found.comparison.name))
    return held_text(found.pvalue, level, answers.settings.alpha)


def _differ(found: _Found) -> str:
    return "differs" if found.num_differing == 1 else "differ"


def _confirmed(answers: Answers, found: _Found) -> str:
    if found.num_confirmed is None:
        return "not checked on samples kept apart"
    return f"{found.num_confirmed:,} confirmed on {plural(answers.cluster_noun)} kept apart"


def difference_tiles(answers: Answers) -> list[Tile]:
    """Return how many heads differ: in the first comparison, or in the strongest where none does there."""
    found = [_found(answers, one) for one in answers.comparisons if not one.problem]
    found = [one for one in found if one.num_tests]
    label = "Heads that differ"
    if not found:
        why = next((one.problem for one in answers.comparisons if one.problem), "No comparison could be tested.")
        return [Tile(label, "not tested", why, _EVIDENCE, "no groups of samples could be compared")]
    first = found[0]
    none = f"no head is shown to differ between {first.sides}"
    chosen = next((one for one in [first, *_strongest_first(found[1:])] if one.num_differing), None)
    if chosen is None:
        beside = (
            f"Between {first.sides}, in {count_text(first.num_tests, 'test')}; that is no evidence of no difference."
        )
        if elsewhere := beside_heads(answers, first.comparison.name):
            beside = f"Between {first.sides}, in {count_text(first.num_tests, 'test')}; but {elsewhere}."
        return [Tile(label, f"0 of {first.num_heads:,}", beside, _EVIDENCE, none)]
    confirmed = _confirmed(answers, chosen)
    clause = (
        f"{chosen.num_differing:,} of {chosen.num_heads:,} heads {_differ(chosen)} between {chosen.sides}, {confirmed}"
    )
    beside = f"Between {chosen.sides}; {confirmed}."
    if chosen is not first:
        clause, beside = f"{none}, while {clause}", f"{beside} Between {first.sides}: none shown."
    return [Tile(label, f"{chosen.num_differing:,} of {chosen.num_heads:,}", beside, _EVIDENCE, clause, True)]


def _strongest_first(found: list[_Found]) -> list[_Found]:
    return sorted(found, key=lambda one: 1.0 if one.pvalue is None else one.pvalue)


def differing_heads(answers: Answers) -> pl.DataFrame:
    """Return ``layer, head, differs`` of every head that differs in any comparison: in which, and if confirmed."""
    parts = []
    for comparison in answers.comparisons:
        tested = answers.tests_of(comparison.name).drop_nulls("pvalue")
        certain = tested.filter(is_certain(answers.level(heads_family(answers, comparison.name))))
        parts.append(
            certain.group_by("layer", "head").agg(
                differs=pl.lit(f"{comparison.label_a} against {comparison.label_b}"),
                is_confirmed=pl.col("is_replicated").fill_null(False).any(),
            )
        )
    schema = {"layer": pl.Int32, "head": pl.Int32, "differs": pl.String, "is_confirmed": pl.Boolean}
    joined = pl.concat([pl.DataFrame(schema=schema), *parts], how="vertical_relaxed")
    return joined.group_by("layer", "head", maintain_order=True).agg(
        pl.col("differs").str.join("; "), pl.col("is_confirmed").any()
    )
