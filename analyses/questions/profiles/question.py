"""The question: what does attention go to, over layers and kinds of words."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import LAYERS, WORDS, Part
from analyses.questions.comparisons import EVERYONE
from analyses.questions.families import smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.profiles.answer import attention_profiles, decision_top_tokens
from analyses.questions.profiles.figures_of_layers import layer_profile_figure, segment_flow_figure
from analyses.questions.profiles.figures_of_words import decision_top_tokens_figure, key_group_figure, numbers_figure
from analyses.questions.profiles.orders import METHOD, attention_orders, smallest_of_orders
from analyses.questions.profiles.sentences import (
    WORDS_FAMILY,
    key_group_sentences,
    layer_sentences,
    top_token_sentences,
)
from analyses.questions.profiles.tables import (
    ATTENTION_ORDERS,
    DECISION_TOP_TOKENS,
    KEY_GROUP_ATTENTION,
    LAYER_PROFILES,
)
from analyses.questions.question import Question
from analyses.runs.clusters import cluster_codes


class Profiles(Question):
    """Means over heads: layer by layer, by key group, and of the tokens that the decision weighs most."""

    name = "profiles"
    tables = (LAYER_PROFILES, KEY_GROUP_ATTENTION, DECISION_TOP_TOKENS, ATTENTION_ORDERS)
    parts = (
        Part("key_group_weight", "Which words heads look at", WORDS),
        Part("key_group_lift", "Which words heads look at more than chance would have it", WORDS),
        Part("figures_lift", "Numbers and magnitudes", WORDS),
        Part("decision_top_tokens", "What the model looks at when it decides", WORDS),
        Part("layer_profile", "From layer to layer", LAYERS),
        Part("segment_flow", "Where attention flows: prompt, reasoning, answer", LAYERS),
    )

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Average attention over heads and samples; the tokens of the decision only where top keys were kept."""
        rows = asked.decision_group
        layers, words, rankings = attention_profiles(asked.run, asked.settings, asked.comparison, rows)
        tables = {"layer_profiles": layers, "key_group_attention": words}
        tokens = decision_top_tokens(asked.run, asked.settings, asked.comparison, asked.style.max_tokens)
        if tokens is not None:
            tables["decision_top_tokens"] = tokens[0]
            rankings.append(tokens[1])
        cluster = cluster_codes(asked.run, asked.settings.cluster_by)
        return tables | {"attention_orders": attention_orders(rankings, rows, cluster)}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return kinds of words between the groups, and every ranking."""
        words = answers["key_group_attention"].filter(pl.col("group") == EVERYONE)
        return {WORDS_FAMILY: smallest(words["pvalue_claim"]), **smallest_of_orders(answers["attention_orders"])}

    def method(self, answers: Answers) -> list[str]:
        """Return how rankings are tested."""
        return [
            "That a kind of word, a layer or a token gets the most or the least is said only where its difference from "
            f"every other one holds within samples: {METHOD}; others are said to be about the same."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return which words get most attention, at which depth, and what the decision looks at."""
        return {
            "key_group_weight": key_group_sentences(answers, "mass"),
            "key_group_lift": key_group_sentences(answers, "lift"),
            "layer_profile": layer_sentences(answers),
            "decision_top_tokens": top_token_sentences(answers),
        }

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the charts of words, then those of layers."""
        return [
            key_group_figure(answers, "mass"),
            key_group_figure(answers, "lift"),
            numbers_figure(answers),
            decision_top_tokens_figure(answers),
            layer_profile_figure(answers),
            segment_flow_figure(answers),
        ]

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the differences in attention to the vocabulary, under the name that the old script gave them."""
        rows = answers["key_group_attention"].filter(
            (pl.col("group") == EVERYONE) & pl.col("kind").is_in(["union", "category"])
        )
        wanted = ("query_group", "key_group", "measure", "difference", "difference_ci_low", "difference_ci_high")
        return {"financial_attention_differences": rows.select(*wanted, "pvalue", "pvalue_adjusted").to_dicts()}
