"""The question: do the heads know whether the answer is right."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import ERRORS, Headline, Part, Tile
from analyses.questions.decodability.answer import HEADS, decodability
from analyses.questions.decodability.figures import decodability_figure, transfer_figures
from analyses.questions.decodability.probe_sentences import FAMILY as PROBES_FAMILY
from analyses.questions.decodability.probe_sentences import probe_sentences, probes_figure, tested_probes
from analyses.questions.decodability.probes import probes
from analyses.questions.decodability.sentences import FAMILY, decodability_sentences
from analyses.questions.decodability.story import decodability_headlines, decodability_tiles
from analyses.questions.decodability.tables import DECODABILITY, PROBES, TRANSFER
from analyses.questions.decodability.transfer import transfer
from analyses.questions.decodability.transfer_sentences import FAMILY as TRANSFER_FAMILY
from analyses.questions.decodability.transfer_sentences import transfer_claims, transfer_sentences
from analyses.questions.families import smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import Question
from analyses.wording import count_text, plural


class Decodability(Question):
    """Labels predicted from heads, on clusters kept apart, beside what needs no head."""

    name = "decodability"
    tables = (DECODABILITY, PROBES, TRANSFER)
    parts = (
        Part("decodability", "Do the heads know?", ERRORS, has_table=True),
        Part("probes", "What kind of attention tells, and when?", ERRORS),
        Part("transfer", "Do they know in another run?", ERRORS),
    )

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Predict every target; no row where prediction is turned off."""
        choices = asked.settings.predicted
        table = DECODABILITY.empty() if choices is None else decodability(asked.run, asked.settings, choices)
        tables = {"decodability": table}
        if choices is not None and choices.presets:
            tables["probes"] = probes(asked.run, asked.settings, choices)
        if asked.transfer is not None:
            tables["transfer"] = transfer(asked, asked.transfer)
        return tables

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return all targets as one family; heads against baselines is asked of the same."""
        table = answers["decodability"].filter(pl.col("model") == HEADS)
        other = answers.get("transfer")
        found = {} if other is None else {TRANSFER_FAMILY: smallest(transfer_claims(other)["pvalue_claim"])}
        probed = tested_probes(answers)
        if len(probed):
            found[PROBES_FAMILY] = smallest(probed["pvalue_adjusted"])
        tested = table.drop_nulls("auroc")
        if tested.is_empty():
            return found
        both = pl.concat([tested["pvalue_controls_adjusted"], tested["difference_pvalue"] * (2 * len(tested))])
        return {FAMILY: smallest(both), **found}

    def method(self, answers: Answers) -> list[str]:
        """Return how samples were kept apart, and the controls."""
        choices = answers.settings.predicted
        if choices is None:
            return []
        return [
            f"What the heads know is tested on {plural(answers.cluster_noun)} never seen: {choices.folds} folds, every "
            f"choice inside the training folds, {count_text(choices.repeats, 'repeat')}, "
            f"{count_text(choices.permutations, 'control')} with labels exchanged between clusters."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return how well each target is predicted."""
        choices = answers.settings.predicted
        num_controls = choices.permutations if choices else None
        alpha, level = answers.settings.alpha, answers.level(FAMILY)
        lines = decodability_sentences(answers["decodability"], alpha, num_controls, level)
        off = ["Nothing was predicted from the heads: analysis.decodability is turned off."]
        told = {"decodability": lines or off, "transfer": transfer_sentences(answers)}
        probed = probe_sentences(answers)
        return {**told, "probes": probed} if probed else told

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the models side by side."""
        return [decodability_figure(answers), *probes_figure(answers), *transfer_figures(answers)]

    def tiles(self, answers: Answers) -> list[Tile]:
        """Return how well heads foretell errors."""
        return decodability_tiles(answers)

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line per target."""
        return decodability_headlines(answers)

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the whole table."""
        other = answers.get("transfer")
        more = {} if other is None else {"transfer": other.to_dicts()}
        probed = answers.get("probes")
        more |= {} if probed is None else {"probes": probed.to_dicts()}
        return {"decodability": answers["decodability"].to_dicts(), **more}
