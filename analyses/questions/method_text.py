"""What the methods of several questions have in common, in words: the adjusted model, its errors, clustered means."""

from __future__ import annotations

from collections.abc import Iterable

from analyses.inference.multiplicity import ASSUMPTIONS
from analyses.questions.answers import Answers, Asked
from analyses.questions.comparisons import held_columns
from analyses.runs.clusters import noun_of_samples
from analyses.settings.analysis import WILD_BOOTSTRAP, AnalysisSettings
from analyses.wording import plural

CR2 = "CR2, Student's t with Satterthwaite's degrees of freedom"

_ERRORS = {
    "cr1": "CR1, Student's t with clusters - 1 degrees of freedom; too small where a group is small",
    "cr2": CR2,
    WILD_BOOTSTRAP: "wild cluster bootstrap-t of CR2 errors, null hypothesis imposed",
}


def errors_text(settings: AnalysisSettings) -> str:
    """Return the errors that ``analysis.errors`` means."""
    return _ERRORS.get(settings.errors, CR2)


def errors_behind(settings: AnalysisSettings) -> str:
    """Return the errors of what rests on the model of the differences: the bootstrap replaces p there alone."""
    return _ERRORS["cr1" if settings.errors == "cr1" else "cr2"]


def independence(asked: Asked) -> str:
    """Return what clustered errors assume."""
    if asked.cluster_noun == noun_of_samples(asked.settings):
        return "samples are independent"
    return (
        f"samples of different {plural(asked.cluster_noun)} are independent, those of one may be correlated in any way"
    )


def covariates_text(settings: AnalysisSettings) -> str:
    """Return the covariates of the adjusted model."""
    return ", ".join(settings.covariates) or "no covariates"


def held_names(names: Iterable[str]) -> str:
    """Return columns that are held fixed, in words."""
    return " and ".join(name.replace("_", " ") for name in names)


def held_fixed_text(answers: Answers, text: str) -> str:
    """Return ``text`` with "year held fixed" in its place; nothing where no such column varies in this run."""
    samples = answers.run.samples
    names = [name for name in answers.settings.held_fixed if name in samples.columns]
    held = [name for name in names if held_columns(samples[name], name)]
    return text.format(f"{held_names(held)} held fixed") if held else ""


def adjusted_model(asked: Asked, errors: str = CR2) -> str:
    """Return the adjusted model with its errors and assumptions."""
    return (
        f"ordinary least squares on group, predicted label, their interaction and {covariates_text(asked.settings)}; "
        f"errors by {asked.cluster_noun}: {errors}; assumes that {independence(asked)} and that the model's terms are "
        "linear"
    )


def mean_over_samples(asked: Asked) -> str:
    """Return how means over samples get their interval."""
    return f"mean over samples, CR1 interval by {asked.cluster_noun}, Student's t; assumes that {independence(asked)}"


def correction_text(asked: Asked) -> str:
    """Return what the configured correction controls, and when."""
    return ASSUMPTIONS[asked.settings.correction]
