"""The question: what does each head do, and what kind of head is it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import HEADS, Part
from analyses.questions.figure import Absent, Figure
from analyses.questions.heads.details import head_details
from analyses.questions.heads.figures import head_map_figure, head_type_map_figure, head_types_by_layer_figure
from analyses.questions.heads.head_types import head_types
from analyses.questions.heads.sentences import FIRM, head_type_sentences
from analyses.questions.heads.tables import (
    HEAD_DISTRIBUTIONS,
    HEAD_LIFTS,
    HEAD_MEANS,
    HEAD_TOP_TOKENS,
    HEAD_TYPES,
    SHOWN_SAMPLES,
)
from analyses.questions.heads.top_tokens import head_top_tokens
from analyses.questions.question import Question
from analyses.questions.sample_choice import choose_samples


class Heads(Question):
    """Means, spread and lifts of every head, its type and its tokens, and samples in which to see them at work."""

    name = "heads"
    tables = (HEAD_TYPES, HEAD_DISTRIBUTIONS, HEAD_LIFTS, HEAD_TOP_TOKENS, SHOWN_SAMPLES, HEAD_MEANS)
    parts = (
        Part("head_map", "Head atlas", HEADS, leads=True),
        Part("head_type_map", "What kind of head each one is", HEADS),
        Part("head_types_by_layer", "Head types over layers", HEADS),
    )

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Describe every head; the samples that are shown follow from the same pass over the tables."""
        details = head_details(asked.run, asked.settings, asked.comparison)
        return {
            "head_types": head_types(asked.run, asked.settings),
            "head_distributions": details.distributions,
            "head_lifts": details.lifts,
            "head_top_tokens": head_top_tokens(asked.run),
            "shown_samples": choose_samples(asked.run, details.profiles),
            "head_means": asked.head_means,
        }

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return what kinds of heads there are."""
        return {"head_type_map": head_type_sentences(answers)}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the atlas and the types."""
        return [head_map_figure(answers), head_type_map_figure(answers), head_types_by_layer_figure(answers)]

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return how many heads there are of each type, how firm that is, and each type's strongest difference."""
        types = answers["head_types"]
        return {
            "head_specialization_differences": {
                "head_types": dict(types["head_type"].value_counts(sort=True).iter_rows()),
                "strongest_per_type": _strongest_per_type(answers),
                "type_stability": _type_stability(types),
            }
        }


def _strongest_per_type(answers: Answers) -> list[dict[str, object]]:
    """Return, for each head type, the test with the smallest p among its heads."""
    tested = answers.tested.drop_nulls("pvalue").sort("pvalue")
    if tested.is_empty():
        return []
    typed = tested.join(answers["head_types"].select("layer", "head", "head_type"), on=["layer", "head"], how="left")
    return typed.unique("head_type", keep="first", maintain_order=True).drop("method", "note").to_dicts()


def _type_stability(types: pl.DataFrame) -> list[dict[str, object]]:
    """Return, for each head type, how its heads keep it over resamples of the clusters."""
    stability = pl.col("type_stability")
    grouped = types.group_by("head_type", maintain_order=True)
    return grouped.agg(
        num_heads=pl.len(),
        num_firm=pl.when(stability.count() > 0).then((stability >= FIRM).sum()),
        lowest=stability.min(),
        median=stability.median(),
        num_samples=pl.col("num_samples").max(),
        num_clusters=pl.col("num_clusters").max(),
        note=pl.col("note").first(),
    ).to_dicts()
