"""The question: what differs between groups of samples, such as right and wrong predictions."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.inference.multiplicity import ASSUMPTIONS
from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import HEADS, Headline, Part, Tile
from analyses.questions.claims import PRIMARY
from analyses.questions.comparisons import Comparison
from analyses.questions.differences.answer import group_differences
from analyses.questions.differences.figures import difference_map_figure, replication_figure, volcano_figure
from analyses.questions.differences.layer_clusters import NO_STRETCH
from analyses.questions.differences.sentences import difference_sentences, heads_family
from analyses.questions.differences.sentences_beyond_heads import (
    interaction_family,
    interaction_sentences,
    layer_cluster_sentences,
    stratum_sentences,
    stretch_family,
)
from analyses.questions.differences.story import comparison_headlines, difference_tiles
from analyses.questions.differences.strata import replication_by_stratum
from analyses.questions.differences.tables import GROUP_DIFFERENCES, LAYER_CLUSTERS, REPLICATION_BY_STRATUM
from analyses.questions.families import claim_pvalue, is_significant, smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.method_text import at_the_mean, covariates_text, errors_text, held_fixed_text, unknown_text
from analyses.questions.question import NUM_LISTED, Question
from analyses.settings.analysis import AnalysisSettings
from analyses.wording import plural


class Differences(Question):
    """Every head tested between the groups of each comparison, stretches of layers, and whether findings hold."""

    name = "differences"
    tables = (GROUP_DIFFERENCES, LAYER_CLUSTERS, REPLICATION_BY_STRATUM)
    parts = (
        Part("difference_map", "Where groups of samples differ", HEADS),
        Part("volcano", "Effect against evidence", HEADS),
        Part("replication", "Do differences hold on samples that they were not found on?", HEADS),
    )

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Test every head, every stretch of layers, and findings again within strata."""
        run, settings = asked.run, asked.settings
        answer = group_differences(run, settings)
        return {
            "group_differences": answer.table,
            "layer_clusters": answer.layer_clusters,
            "replication_by_stratum": replication_by_stratum(run, settings, asked.comparisons, answer.table),
        }

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return comparisons beside the first, stretches of layers, and interactions with the predicted label."""
        found: dict[str, float] = {}
        for comparison in answers.comparisons:
            tests = answers.tests_of(comparison.name)
            if (family := heads_family(answers, comparison.name)) != PRIMARY and len(tests):
                # Each declared family is a claim of its own; together they are one here.
                number = tests["family"].n_unique()
                found[family] = number * smallest(tests.select(claim_pvalue()).to_series())
            for (name,), rows in tests.group_by("family", maintain_order=True):
                pvalues = rows["pvalue_interaction_adjusted"]
                found[interaction_family(comparison.name, str(name))] = smallest(pvalues)
            layers = answers["layer_clusters"].filter(pl.col("comparison") == comparison.name)
            for (name,), rows in layers.group_by("family", maintain_order=True):
                # A family that was tested without a stretch has nothing to claim, and counts all the same.
                is_tested = rows["pvalue_adjusted"].is_not_null().any() or NO_STRETCH in rows["note"]
                least = smallest(rows["pvalue_adjusted"])
                found[stretch_family(comparison.name, str(name))] = 1.0 if is_tested and least != least else least
        return found

    def settled(self, answers: Answers) -> Mapping[str, pl.DataFrame]:
        """Return the tests with the level of their comparison's family."""
        levels = {one.name: answers.level(heads_family(answers, one.name)) for one in answers.comparisons}
        level = pl.col("comparison").replace_strict(levels, default=None, return_dtype=pl.Float64)
        return {"group_differences": answers["group_differences"].with_columns(level=level)}

    def method(self, answers: Answers) -> list[str]:
        """Return the model, the families, the checks, and how findings are replicated."""
        settings, noun = answers.settings, answers.cluster_noun
        lines = [
            "Each test is an ordinary least squares regression of one head's statistic on the group, the predicted "
            f"label, their interaction and {covariates_text(settings)}; the quoted difference is the average marginal "
            f"effect of the group. Errors are clustered by {noun} ({errors_text(settings)}).",
            f"{_families(settings)} ({settings.correction}, alpha {settings.alpha:g}: "
            f"{ASSUMPTIONS[settings.correction]}).",
            "The same model is fitted to normal scores of the ranks; a difference is called significant only where it "
            "and every other adjusted p that was computed agree.",
            "So must a rank test whose variance is pooled over both groups, correlation within clusters allowed for, "
            "the same where whole clusters of like size are exchanged"
            f"{held_fixed_text(answers, ', and the model with {} too')}. "
            "Statistics that are piled up on one value, so that fewer than 10 samples of a group would differ from it, "
            "are not tested.",
            *([f"{why}."] if (why := unknown_text(answers)) else []),
            *at_the_mean(answers),
            "Whether a difference depends on the predicted label is a family of its own.",
            "Welch's t-test, Mann-Whitney with AUC and Hedges g are unadjusted and treat samples as independent.",
        ]
        if settings.permutations:
            lines.append(
                f"Max-T (Westfall-Young) uses {settings.permutations:,} random sign flips per {noun} (Freedman-Lane, "
                f"seed {answers.run.seed}). The same flips test sums of t over neighbouring layers, heads averaged; "
                "nothing is ever summed over head indices."
            )
        if settings.confirmation_fraction:
            lines.append(
                "Replicated means: significant after adjustment on "
                f"{100 * (1 - settings.confirmation_fraction):g} % of the {plural(noun)}, and the same sign with p "
                "below alpha on the others."
            )
        methods = answers["group_differences"]["method"].drop_nulls().unique().sort().to_list()
        return lines + [f"Model fitted: {method}." for method in methods if "left out" in method]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return what differs in heads, in stretches of layers, and within strata."""
        lines = [*difference_sentences(answers), *interaction_sentences(answers), *layer_cluster_sentences(answers)]
        return {"difference_map": [*lines, *stratum_sentences(answers)]}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the map, effect against evidence, and replication."""
        return [difference_map_figure(answers), volcano_figure(answers), replication_figure(answers)]

    def tiles(self, answers: Answers) -> list[Tile]:
        """Return how many heads differ, and how many of them were confirmed."""
        return difference_tiles(answers)

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line per comparison."""
        return comparison_headlines(answers)

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return each comparison's counts and strongest tests, stretches of layers, and findings within strata."""
        layers, strata = answers["layer_clusters"], answers["replication_by_stratum"]
        return {
            "statistical_differences": {one.name: _counts(answers, one) for one in answers.comparisons},
            "layer_clusters": layers.drop_nulls("pvalue").sort("pvalue").head(NUM_LISTED).to_dicts(),
            "replication_by_stratum": strata.filter("is_finding").head(NUM_LISTED).to_dicts(),
        }


def _families(settings: AnalysisSettings) -> str:
    if not settings.families:
        return (
            "The declared family of a comparison is every head x statistic x query group; p-values are adjusted over "
            "all of it"
        )
    names = ", ".join(family.name for family in settings.families)
    return f"The config declares the families {names} (and rest); p-values are adjusted within each"


def _counts(answers: Answers, comparison: Comparison) -> dict[str, object]:
    tested = answers.tests_of(comparison.name).drop_nulls("pvalue")
    certain = tested.filter(is_significant())
    return {
        "a": comparison.label_a,
        "b": comparison.label_b,
        "num_a": int(comparison.is_a.sum()),
        "num_b": int(comparison.is_b.sum()),
        "problem": comparison.problem or None,
        "num_tests": len(tested),
        "families": dict(tested["family"].value_counts(sort=True).iter_rows()),
        "num_significant": len(certain),
        "num_significant_max_t": tested.filter(pl.col("pvalue_max_t") <= pl.col("level")).height,
        "num_replicated": int(certain["is_replicated"].fill_null(False).sum()),
        "methods": sorted(tested["method"].drop_nulls().unique()),
        "strongest": tested.sort("pvalue").head(NUM_LISTED).drop("comparison", "method", "note").to_dicts(),
    }
