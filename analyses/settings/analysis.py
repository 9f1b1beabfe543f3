"""What an analysis may choose: groups, levels, families, thresholds.

The ``analysis`` section of the config (``visualization`` has a module of its own). ``engine.config`` composes it, and a
run made by the engine carries it resolved in ``run.yaml``. For a run directory written by somebody else the defaults
below hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from analyses.settings.columns import (
    AS_GIVEN,
    Entry,
    Groups,
    Number,
    Settings,
    SettingsError,
    Stratum,
    Whole,
    refuse_twins,
)
from analyses.settings.decodability import DecodabilitySettings
from analyses.settings.hypotheses import Hypotheses
from engine.sections import FaultAt

__all__ = ["AnalysisSettings", "Family", "HeadTypes", "SettingsError", "nouns_of"]

TARGETS = ("certainty", "probability", "magnitude", "year")
"""What statistics are correlated with unless the config says otherwise; any number in ``samples`` may be named."""

STRATA = ("year", "num_prompt_tokens")
"""Where findings are looked for separately unless the config says otherwise."""

HELD_FIXED = ("year",)
"""What is held fixed in a second fit of every difference unless the config says otherwise."""

DERIVED_COLUMNS = ("label_probability", "certainty_level", "magnitude_level")
"""Columns of samples that follow from others (``runs.derived_columns``); usable wherever a column is."""

WILD_BOOTSTRAP = "wild_bootstrap"

MIN_BOOTSTRAP = 99
"""Draws that a wild bootstrap needs for p-values below 0.05 to exist at all."""

LOG_PREFIX = "log_"
"""``log_<column>`` is the natural logarithm of a column of ``samples``, as a covariate."""


def _known_number(value: float) -> float:
    if value != value:
        raise ValueError("nan is not allowed; allowed: a number")
    return value


Threshold = Annotated[Number, AfterValidator(_known_number)]


class HeadTypes(Settings):
    """Thresholds of the head types; ``questions.heads.head_types`` says what each is compared with."""

    path: ClassVar[str] = "analysis.head_types"
    self_attention_diagonal: Threshold = 0.4
    """Least weight of a self-attention head on the token itself."""
    causal_previous_token: Threshold = 0.4
    """Least weight of a causal head on the previous token."""
    beginning_mass: Threshold = 0.5
    """Least weight of a beginning-focused head on the first ten tokens."""
    vocabulary_lift: Threshold = 1.5
    """Least attention of a vocabulary head to its terms, as a multiple of what uniform attention would give."""
    prediction_mass: Threshold = 0.5
    """Least share of the reasoning in what a prediction head looks at from the decision token."""
    prediction_lift: Threshold = 1.5
    """The same share as a multiple of what uniform attention would give."""
    focused_entropy: Threshold = 0.35
    """Most entropy of a focused head, relative to uniform attention."""
    distributed_entropy: Threshold = 0.75
    """Least entropy of a distributed head, relative to uniform attention."""


class Family(Entry):
    """Tests that are adjusted together, by shell patterns (``mass_*``); a list left out fits all."""

    name: str = Field(min_length=1)
    """Its name in the tables."""
    statistics: tuple[str, ...] | None = None
    """Patterns of statistics."""
    query_groups: tuple[str, ...] | None = None
    """Patterns of query groups."""

    def fits(self, query_group: str, statistic: str) -> bool:
        """Return whether a test belongs to the family."""
        pairs = ((self.statistics, statistic), (self.query_groups, query_group))
        return all(patterns is None or any(fnmatchcase(name, one) for one in patterns) for patterns, name in pairs)


def _are_distinct(families: tuple[Family, ...]) -> tuple[Family, ...]:
    refuse_twins((family.name for family in families), "family")
    return families


class AnalysisSettings(Settings):
    """The ``analysis`` section of the config: how the tables of a run are tested."""

    path: ClassVar[str] = "analysis"
    groups: Groups = ("is_correct",)
    """Comparisons: a column of ``samples`` (``questions.comparisons`` says which groups each kind of column makes), or
    a mapping ``{name, column, a, b}`` with the values that form the groups a and b."""
    alpha: Number = Field(default=0.05, gt=0, lt=1)
    """Level of the adjusted p-values; intervals cover ``1 - alpha``."""
    families: Annotated[tuple[Family, ...], AfterValidator(_are_distinct)] = ()
    """Tests that are adjusted together; a test is in the first family that it fits, and in ``rest`` when it fits none.
    Empty: all tests of a comparison are one family."""
    correction: Literal["fdr_bh", "fdr_by", "holm", "bonferroni"] = "fdr_bh"
    """Adjustment over each family."""
    errors: Literal["auto", "cr1", "cr2", "wild_bootstrap"] = "auto"
    """``cr2`` with Satterthwaite's degrees of freedom, right for many clusters and for few; ``auto`` is the same.
    ``cr1`` with clusters - 1, as most software has it: too small where a group is small. ``wild_bootstrap``: p and
    interval from the wild cluster bootstrap-t with ``permutations`` draws, for few clusters."""
    permutations: Whole = Field(default=1000, ge=0)
    """Sign flips of max-T (Westfall-Young), of the cluster mass along layers and of the wild bootstrap; 0 leaves their
    p null."""
    cluster_by: str = "cluster"
    """Column of ``samples`` whose rows are correlated within one value."""
    nouns: dict[Literal["cluster", "sample", "statement"], str] = Field(default_factory=dict)
    """What one cluster, one sample and the statement that a model reads are called in report and live view, and
    beside other runs where all call it so; a cluster else by the field that names it, the others ``sample`` and
    ``statement``."""
    covariates: tuple[str, ...] = ("log_num_tokens",)
    """Columns of ``samples`` to adjust for; ``log_<column>`` takes the natural logarithm."""
    held_fixed: tuple[str, ...] = HELD_FIXED
    """Columns of ``samples`` with which groups and attention may drift together, such as the year. Each test is made
    without and with them held fixed, and a finding needs both. Numbers enter with their square, words one by one. Of
    the default only what a run has."""
    confirmation_fraction: Number = Field(default=0.3, ge=0, lt=1)
    """Share of clusters kept for confirmation; 0 leaves ``is_replicated`` null."""
    strata: tuple[str | Stratum, ...] = STRATA
    """Columns of ``samples`` whose parts findings are looked for in separately: each value of words and of few whole
    numbers, thirds of other numbers; ``{column, parts}`` cuts into as many parts."""
    correlations: tuple[str, ...] = TARGETS
    """What statistics are correlated with: ``probability`` (the model's own), or columns of ``samples`` that hold
    numbers or words with an order. Empty: nothing."""
    decodability: Annotated[DecodabilitySettings | Literal[False] | None, AS_GIVEN] = Field(
        default_factory=DecodabilitySettings
    )
    """What is predicted from the heads, and how; false or null: nothing."""
    hypotheses: Hypotheses = None
    """Questions: named ones, sentences and mappings (``settings.hypotheses``); None: every named one."""
    head_types: Annotated[HeadTypes, AS_GIVEN] = Field(default_factory=HeadTypes)
    """Thresholds of the head types; those that are not given keep their default."""

    @model_validator(mode="after")
    def _a_bootstrap_has_draws(self) -> Self:
        if self.errors == WILD_BOOTSTRAP and self.permutations < MIN_BOOTSTRAP:
            raise FaultAt(
                ".permutations",
                f"{self.permutations} is not allowed; allowed: at least {MIN_BOOTSTRAP} with analysis.errors: "
                f"{WILD_BOOTSTRAP}",
            )
        return self

    @property
    def predicted(self) -> DecodabilitySettings | None:
        """What ``decodability`` says; None when it is turned off."""
        return self.decodability or None


def nouns_of(section: Mapping[str, object] | None) -> dict[Literal["cluster", "sample", "statement"], str]:
    """Return what a config's ``analysis`` section calls things, whatever else it holds."""
    return AnalysisSettings.from_mapping({"nouns": (section or {}).get("nouns") or {}}).nouns
