"""How every number was computed and what that assumes, in words: lines of the report, and metadata of the tables."""

from __future__ import annotations

from collections.abc import Mapping

from analyses.analysis_tables import AnalysisTables
from analyses.causal_agreement import METHOD as CAUSAL_METHOD
from analyses.causal_agreement import SCREENING_METHOD
from analyses.families import ASSUMPTIONS
from analyses.head_scores import NUM_RESAMPLES
from analyses.settings import WILD_BOOTSTRAP, AnalysisSettings
from analyses.wording import count_text, plural

_ERRORS = {
    "cr1": "CR1, Student's t with clusters - 1 degrees of freedom; too small where a group is small",
    "cr2": "CR2, Student's t with Satterthwaite's degrees of freedom",
    WILD_BOOTSTRAP: "wild cluster bootstrap-t of CR2 errors, null hypothesis imposed",
}


def _errors(settings: AnalysisSettings) -> str:
    return _ERRORS.get(settings.errors, _ERRORS["cr2"])


def table_methods(tables: AnalysisTables) -> Mapping[str, str]:
    """Return, for tables that hold tests, means or intervals, the method and its assumptions."""
    settings = tables.settings
    covariates = ", ".join(settings.covariates) or "no covariates"
    noun = tables.cluster_noun
    clustered = f"samples of different {plural(noun)} are independent, those of one may be correlated in any way"

    def model(errors: str) -> str:
        return (
            f"ordinary least squares on group, predicted label, their interaction and {covariates}; errors by "
            f"{noun}: {errors}; assumes that {clustered} and that the model's terms are linear"
        )

    # Only group_differences replaces p by that of the bootstrap; what rests on its model keeps the errors behind it.
    behind = _ERRORS["cr1" if settings.errors == "cr1" else "cr2"]
    mean = f"mean over samples, CR1 interval by {noun}, Student's t; assumes that {clustered}"
    correction = ASSUMPTIONS[settings.correction]
    adjusted = f"adjusted within each family by {correction}"
    over_table = f"adjusted over the table by {correction}"
    max_t = f"max-T: {settings.permutations:,} random signs per cluster, errors symmetric about 0"
    return {
        "group_differences": f"{model(_errors(settings))}; {adjusted}; {max_t}; Welch and Mann-Whitney take samples as "
        "independent",
        "layer_clusters": f"{model(behind)}, on means over heads; sums of t over neighbouring layers against {max_t}",
        "replication_by_stratum": f"within each stratum: {model(behind)}; p adjusted by Holm over the stratum's tests; "
        "heterogeneity by Cochran's Q, which takes strata as independent; findings were chosen on the same samples",
        "head_types": f"thresholds on means over samples; {mean}; {NUM_RESAMPLES} resamples of whole clusters; p "
        "against random vocabularies takes their lifts as normal; adjusted over heads by Benjamini-Hochberg",
        "head_means": "mean over samples with a value; no test",
        "layer_profiles": mean,
        "key_group_attention": f"{mean}; differences: {model(_ERRORS['cr2'])}; {over_table}",
        "decision_top_tokens": f"{mean}; only the kept top keys count, so a weight is a lower bound; differences: "
        f"{model(_ERRORS['cr2'])}; {over_table}",
        "decodability": f"held-out AUROC of sparse logistic models, nested and grouped by {noun}; assumes that "
        f"{clustered}; intervals redraw whole clusters for models that stay as they are; p of the heads against labels "
        f"exchanged between clusters of like size; adjusted over the targets by {correction}",
        "hypotheses": f"one number per sample; its mean with CR2 errors by {noun}, or {model(_ERRORS['cr2'])}; also "
        f"on normal scores; {over_table}",
        "correlations": f"Spearman's rho with CR2 errors by {noun}, Satterthwaite's degrees of freedom; assumes that "
        f"{clustered}; {adjusted}",
        "causal_effects": f"mean over samples with CR2 errors by {noun}, Satterthwaite's degrees of freedom; also on "
        f"signed normal scores; assumes that {clustered}; adjusted within each kind and measure by {correction}; max-T "
        "turns whole clusters round, which takes effects as alike about 0 if there is none; rates have no p; an "
        "intervention leaves the distribution of activations that the model was trained on",
        "causal_differences": f"{model(_ERRORS['cr2'])}; adjusted within each kind and measure by {correction}",
        "head_agreement": CAUSAL_METHOD + "; heads are no sample, so there is no p",
        "head_screening": SCREENING_METHOD + "; heads chosen on the same samples look a little stronger than they are",
        "power": f"noncentral t of {model(_ERRORS['cr2'])}; one intraclass correlation within clusters; "
        "medians over heads",
        "accuracy": f"clustered interval by {noun}, or Wilson's where clusters do not differ; assumes that {clustered}",
    }


def method_lines(tables: AnalysisTables) -> list[str]:
    """Return what was tested and how, as lines of text."""
    settings = tables.settings
    covariates = ", ".join(settings.covariates) or "no covariates"
    lines = [
        "Each test is an ordinary least squares regression of one head's statistic on the group, the predicted label, "
        f"their interaction and {covariates}; the quoted difference is the average marginal effect of the group. "
        f"Errors are clustered by {tables.cluster_noun} ({_errors(settings)}).",
        f"{_families(settings)} ({settings.correction}, alpha {settings.alpha:g}: {ASSUMPTIONS[settings.correction]}).",
        "The same model is fitted to normal scores of the ranks; a difference is called significant only where it and "
        "every other adjusted p that was computed agree.",
        "Welch's t-test, Mann-Whitney with AUC and Hedges g are unadjusted and treat samples as independent.",
    ]
    if settings.permutations:
        lines.append(
            f"Max-T (Westfall-Young) uses {settings.permutations:,} random sign flips per {tables.cluster_noun} "
            f"(Freedman-Lane, seed {tables.run.seed}). The same flips test sums of t over neighbouring layers, heads "
            "averaged; nothing is ever summed over head indices."
        )
    if settings.confirmation_fraction:
        lines.append(
            f"Replicated means: significant after adjustment on {100 * (1 - settings.confirmation_fraction):g} % of "
            f"the {plural(tables.cluster_noun)}, and the same sign with p below alpha on the others."
        )
    lines.extend(_other_methods(tables))
    methods = tables.differences["method"].drop_nulls().unique().sort().to_list()
    lines.extend(f"Model fitted: {method}." for method in methods if "left out" in method)
    return lines


def _other_methods(tables: AnalysisTables) -> list[str]:
    """Return how the questions that are no group difference were answered."""
    noun, chosen = tables.cluster_noun, tables.settings.predicted
    lines = [
        f"Correlations are Spearman's, hypotheses one number per sample, both with CR2 errors clustered by {noun} and "
        "adjusted like the differences: correlations within each target, hypotheses over all of them.",
        "The smallest visible effect follows from the same model with the spread and the correlation within clusters "
        "that the samples show.",
    ]
    if chosen is not None:
        lines.append(
            f"What the heads know is tested on {plural(noun)} never seen: {chosen.folds} folds, every choice inside "
            f"the training folds, {count_text(chosen.repeats, 'repeat')}, "
            f"{count_text(chosen.permutations, 'control')} with labels exchanged between clusters."
        )
    if len(tables.causal_effects):
        lines.append(
            "Causes are means over samples of what an intervention or a gradient does to s, the logit of one label "
            "minus that of the other, turned so that the label which the model favours leads; CR2 errors clustered by "
            f"{noun}, adjusted within each kind of cause. An intervention puts a model where it was not trained: that "
            "a head is needed for an answer does not say that it suffices."
        )
    return lines


def _families(settings: AnalysisSettings) -> str:
    if not settings.families:
        return (
            "The declared family of a comparison is every head x statistic x query group; p-values are adjusted over "
            "all of it"
        )
    names = ", ".join(str(family["name"]) for family in settings.families)
    return f"The config declares the families {names} (and rest); p-values are adjusted within each"
