"""What the methods of several questions have in common, in words: the adjusted model, its errors, clustered means."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analyses.inference.multiplicity import ASSUMPTIONS
from analyses.questions.answers import Answers, Asked
from analyses.questions.comparisons import held_columns
from analyses.runs.clusters import noun_of_samples
from analyses.runs.numbers import numbers_of
from analyses.settings.analysis import LOG_PREFIX, WILD_BOOTSTRAP, AnalysisSettings
from analyses.wording import count_text, plural

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


def in_words(names: Iterable[str]) -> str:
    """Return names of columns in words: "year and filing type"."""
    return " and ".join(name.replace("_", " ") for name in names)


def held_names(answers: Asked, column: str = "") -> str:
    """Return those columns of ``analysis.held_fixed`` that are held fixed, in words; empty where there are none.

    A column that does not vary in the run is not, nor is ``column``, by which groups are made.
    """
    samples = answers.run.samples
    names = [name for name in answers.settings.held_fixed if name in samples.columns and name != column]
    return in_words(name for name in names if held_columns(samples[name], name))


def held_fixed_text(answers: Answers, text: str) -> str:
    """Return ``text`` with "year held fixed" in its place; nothing where no such column varies in this run."""
    held = held_names(answers)
    return text.format(f"{held} held fixed") if held else ""


def unknown_text(answers: Asked) -> str:
    """Say which columns to hold fixed are known of no sample: a drift with them would look like a difference."""
    samples = answers.run.samples
    asked = [name for name in answers.settings.held_fixed if name in samples.columns]
    unknown = [name for name in asked if not samples[name].is_not_null().any()]
    if not unknown or held_names(answers):
        return ""
    names, are = in_words(unknown), "is" if len(unknown) == 1 else "are"
    return f"{names[:1].upper()}{names[1:]} {are} known of no sample, so nothing was held fixed"


def at_the_mean(answers: Asked) -> list[str]:
    """Say of how many samples a covariate, or a number that is held fixed, is unknown and stands at its mean."""
    samples, settings = answers.run.samples, answers.settings
    lines = []
    for name in dict.fromkeys((*settings.covariates, *settings.held_fixed)):
        column = name if name in samples.columns else name.removeprefix(LOG_PREFIX)
        if column not in samples.columns or not samples[column].dtype.is_numeric():
            continue
        known = np.isfinite(numbers_of(samples[column]))
        if column != name:
            known &= numbers_of(samples[column]) > 0
        if known.any() and not known.all():
            number = int((~known).sum())
            lines.append(
                f"{name} is unknown in {number:,} of {count_text(len(samples), 'sample')}, which stand at the mean of "
                "the others: there it holds nothing fixed."
            )
    return lines


def adjusted_model(asked: Asked, errors: str = CR2) -> str:
    """Return the adjusted model with its errors and assumptions."""
    return (
        f"ordinary least squares on group, predicted label, their interaction and {covariates_text(asked.settings)}; "
        f"errors by {asked.cluster_noun}: {errors}; assumes that {independence(asked)} and that the model's terms are "
        "linear"
    )


def mean_over_samples(asked: Asked) -> str:
    """Return how means over samples get their interval."""
    return f"mean over samples, interval by {asked.cluster_noun}: {CR2}; assumes that {independence(asked)}"


def correction_text(asked: Asked) -> str:
    """Return what the configured correction controls, and when."""
    return ASSUMPTIONS[asked.settings.correction]
