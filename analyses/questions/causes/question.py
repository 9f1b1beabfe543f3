"""The question: does any of it matter for the answer."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.causes.agreement import head_agreement
from analyses.questions.causes.effects import causal_effects
from analyses.questions.causes.figures import causal_figures
from analyses.questions.causes.sentences import causal_sentences, contrast_family, effect_family
from analyses.questions.causes.story import cause_headlines, cause_tiles
from analyses.questions.causes.tables import CAUSAL_DIFFERENCES, CAUSAL_EFFECTS, HEAD_AGREEMENT, HEAD_SCREENING
from analyses.questions.chapters import CAUSES, Headline, Part, Tile
from analyses.questions.families import MEAN_CHECKS, claim_pvalue, smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import NUM_LISTED, Question


class Causes(Question):
    """What interventions and gradients do to the answer, and whether attention foretells it."""

    name = "causes"
    tables = (CAUSAL_EFFECTS, CAUSAL_DIFFERENCES, HEAD_AGREEMENT, HEAD_SCREENING)
    parts = (
        Part("causal_map", "Which heads cause the answer", CAUSES),
        Part("causal_ranking", "The strongest interventions", CAUSES),
        Part("knockout_curves", "Where the answer is read", CAUSES),
        Part("head_agreement", "Do attention, gradients and ablation agree?", CAUSES),
        Part("head_screening", "Does the gradient foretell the ablation?", CAUSES),
    )

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Average every cause over samples; no row where a run measured none."""
        effects, differences = causal_effects(asked.run, asked.settings)
        agreement, screening = head_agreement(asked.run, asked.settings)
        found = {
            "causal_effects": effects,
            "causal_differences": differences,
            "head_agreement": agreement,
            "head_screening": screening,
        }
        contrast = pl.lit(asked.contrast, dtype=pl.String)
        return {name: frame.with_columns(contrast=contrast) for name, frame in found.items()}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return the effects of each kind of cause, and right against wrong predictions in them."""
        found: dict[str, float] = {}
        effects = answers["causal_effects"].filter(pl.col("measure") == "lead")
        for (kind,), rows in effects.group_by("kind", maintain_order=True):
            found[effect_family(str(kind))] = smallest(rows.select(claim_pvalue(MEAN_CHECKS)).to_series())
        differences = answers["causal_differences"].filter(pl.col("measure") == "lead")
        for (kind,), rows in differences.group_by("kind", maintain_order=True):
            found[contrast_family(str(kind))] = smallest(rows["pvalue_claim"])
        return found

    def method(self, answers: Answers) -> list[str]:
        """Return what a cause is, and what an intervention does not show."""
        if answers["causal_effects"].is_empty():
            return []
        return [
            "Causes are means over samples of what an intervention or a gradient does to s, the logit of one label "
            "minus that of the other, turned so that the label which the model favours leads; CR2 errors clustered by "
            f"{answers.cluster_noun}, adjusted within each kind of cause. An intervention puts a model where it was "
            "not trained: that a head is needed for an answer does not say that it suffices."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return the effects by kind, knockouts, agreement and forecast."""
        return causal_sentences(answers)

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return map, ranking, knockouts, agreement and forecast."""
        return causal_figures(answers)

    def tiles(self, answers: Answers) -> list[Tile]:
        """Return how many heads matter, or that nobody looked."""
        return cause_tiles(answers)

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line per kind of cause."""
        return cause_headlines(answers)

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the strongest effects, agreement over all heads, and the forecast."""
        tested = answers["causal_effects"].filter(pl.col("measure") == "lead").drop_nulls("pvalue")
        over_all = answers["head_agreement"].filter(pl.col("layer").is_null())
        return {
            "causes": {
                "strongest": tested.sort("pvalue").head(NUM_LISTED).drop("method", "note").to_dicts(),
                "agreement": over_all.drop("method").to_dicts(),
                "screening": answers["head_screening"].drop("method").to_dicts(),
            }
        }
