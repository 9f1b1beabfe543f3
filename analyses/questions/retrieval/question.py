"""The question: which heads fetch what is written, and do they in wrong predictions too."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import HEADS, Headline, Part
from analyses.questions.families import smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import NUM_LISTED, Question
from analyses.questions.retrieval.answer import evidence_heads, retrieval_differences, retrieval_heads
from analyses.questions.retrieval.figures import retrieval_figure
from analyses.questions.retrieval.sentences import (
    DIFFERENCES_FAMILY,
    HEADS_FAMILY,
    LEAST,
    found_differences,
    found_heads,
    part,
    retrieval_sentences,
)
from analyses.questions.retrieval.tables import EVIDENCE_HEADS, RETRIEVAL_DIFFERENCES, RETRIEVAL_HEADS
from analyses.questions.retrieval.values import has_evidence, is_measured
from analyses.wording import count_text, percent_text

_PART = Part("retrieval", "Which heads fetch what is written", HEADS)


class Retrieval(Question):
    """Heads whose largest weight lies on what is written next, and heads that read the evidence."""

    name = "retrieval"
    tables = (RETRIEVAL_HEADS, RETRIEVAL_DIFFERENCES, EVIDENCE_HEADS)
    parts = (_PART,)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Return those of the three tables that something was measured for."""
        tables: dict[str, pl.DataFrame] = {}
        if is_measured(asked.run):
            tables["retrieval_heads"] = retrieval_heads(asked.run, asked.settings)
            tables["retrieval_differences"] = retrieval_differences(asked.run, asked.settings)
        if has_evidence(asked.run):
            tables["evidence_heads"] = evidence_heads(asked.run, asked.settings)
        return tables

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return heads against chance, and right against wrong."""
        pairs = {
            HEADS_FAMILY: _positive(part(answers, RETRIEVAL_HEADS)),
            DIFFERENCES_FAMILY: part(answers, RETRIEVAL_DIFFERENCES)["pvalue_claim"],
        }
        return {name: smallest(values) for name, values in pairs.items() if len(values.drop_nulls())}

    def method(self, answers: Answers) -> list[str]:
        """Return what the scores are, where anything was measured."""
        lines = []
        if is_measured(answers.run):
            lines.append(
                "The retrieval score of a head is the share of the rows of what the model wrote whose largest weight "
                "lies on a token of the prompt that is the token written next (Wu et al. 2024, who count over a "
                "needle's length). By chance is what the same keys score beside the next token of a row drawn at "
                "random. A head is said to fetch where its score is at least 0.1 and leads over chance in the mean "
                "over samples, with clustered errors. The copy score says whether a head writes what it looks at: by "
                "how many standard deviations of the vocabulary the looked-at token's logit rises above the mean."
            )
        if has_evidence(answers.run):
            lines.append(
                "QRscore is the attention of a query group to the record's gold passages (key group evidence), not "
                "calibrated. Samples whose record names none are left out of it."
            )
        return lines

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return who fetches, whether wrong answers differ, and who reads the evidence."""
        lines = retrieval_sentences(answers)
        return {"retrieval": lines} if lines else {}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the heads that fetch."""
        if is_measured(answers.run):
            return [retrieval_figure(answers)]
        off = Absent("retrieval", "What heads fetch was not measured: statistics.retrieval is off.")
        return [off] if has_evidence(answers.run) else []

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line, where something was measured."""
        tested = part(answers, RETRIEVAL_HEADS).drop_nulls("pvalue_adjusted")
        if tested.is_empty():
            return []
        heads = count_text(tested.select("layer", "head").n_unique(), "head")
        certain = found_heads(answers)
        least = float(tested["pvalue_adjusted"].min())  # pyright: ignore[reportArgumentType]
        if certain.is_empty():
            text = f"Retrieval: none of {heads} is shown to fetch from the prompt what is written."
            return [Headline(text, _PART.name, pvalue=least)]
        row, number = certain.row(0, named=True), certain.select("layer", "head").n_unique()
        differing = found_differences(answers)
        beside = f"; {len(differing):,} scores differ between right and wrong answers" if len(differing) else ""
        verb = "fetches" if number == 1 else "fetch"
        text = (
            f"Retrieval: {number:,} of {heads} {verb} from the prompt what is written, most of all head "
            f"{row['layer']}.{row['head']}: {percent_text(row['score'])} of the rows, by chance "
            f"{percent_text(row['chance'])}{beside}."
        )
        return [Headline(text, _PART.name, pvalue=float(certain["pvalue_adjusted"][0]), is_finding=True)]

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the highest scores, the strongest differences, and who reads the evidence."""
        if not is_measured(answers.run) and not has_evidence(answers.run):
            return {}
        tested = part(answers, RETRIEVAL_DIFFERENCES).drop_nulls("pvalue_claim").sort("pvalue_claim", "pvalue")
        scores = part(answers, RETRIEVAL_HEADS).drop_nulls("score").sort("score", descending=True)
        readers = part(answers, EVIDENCE_HEADS).drop_nulls("qr_score").sort("qr_score", descending=True)
        return {
            "retrieval": {
                "heads": scores.head(NUM_LISTED).to_dicts(),
                "differences": tested.head(NUM_LISTED).drop("method", "note").to_dicts(),
                "evidence": readers.head(NUM_LISTED).to_dicts(),
            }
        }


def _positive(table: pl.DataFrame) -> pl.Series:
    """Return the p-values of heads that could be claimed."""
    return table.filter((pl.col("lead") > 0) & (pl.col("score") >= LEAST))["pvalue_adjusted"]
