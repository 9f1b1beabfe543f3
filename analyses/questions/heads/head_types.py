"""What kind of head each one is: types as readers name them, by thresholds that are written down.

``head_type`` is the first of these that fits, ``all_types`` names all that fit; thresholds are those of
``analysis.head_types``. Rows are those of query group ``all`` (the first query group where ``all`` is not measured),
except for prediction heads. Values are means over samples.

self-attention
    The weight on the token itself, row 0 left out, is at least ``self_attention_diagonal``.
causal
    The weight on the previous token is at least ``causal_previous_token``.
beginning-focused
    The weight on the first ten tokens (the first token where that is not measured) is at least ``beginning_mass``.
vocabulary, by its own name such as financial
    Vocabulary terms get at least ``vocabulary_lift`` times what uniform attention would give them, the interval lies
    above 1, and random vocabularies (where they were collected) get significantly less. Random vocabularies differ
    among themselves, so the lift is compared with where one more random vocabulary would lie: over R of them,
    t = (lift - their mean) / sqrt(se^2 + s^2 (1 + 1/R)), with s their standard deviation, se the clustered error of
    the difference, and R - 1 degrees of freedom. Fewer than ``MIN_RANDOM`` say too little: then p is null, ``note``
    says so, and the lift must only lie above each of theirs.
prediction
    At the decision token, at least ``prediction_mass`` of the attention that is not on the first token goes to the
    reasoning before the label, and that share is at least ``prediction_lift`` times uniform attention.
focused, distributed
    The entropy relative to uniform attention is at most ``focused_entropy``, or at least ``distributed_entropy``.
mixed
    None of these.

``type_stability`` is the share of resamples of the clusters in which a head has the same type, ``type_runner_up`` the
type it has most often instead: heads near a threshold change sides.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.multiplicity import adjust_pvalues
from analyses.questions.heads.scores import MIN_CLUSTERS, HeadScores, head_scores, resamples_same
from analyses.runs.key_groups import of_kind
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings

MIXED = "mixed"

MIN_RANDOM = 3
"""Random vocabularies from which their spread can be estimated at all."""

SCORES = {
    "diagonal": "Mean weight of the token itself, row 0 left out",
    "previous_token": "Mean weight of the previous token",
    "beginning": "Mean weight of the first ten tokens, or of the first token",
    "entropy_normalized": "Mean entropy relative to uniform attention",
    "vocabulary_lift": "Weight on vocabulary terms over that of uniform attention",
    "vocabulary_lift_ci_low": "Lower end of its interval, clustered",
    "vocabulary_lift_ci_high": "Upper end of its interval, clustered",
    "random_lift": "The same for random vocabularies, their mean; null where none were collected",
    "random_lift_max": "The highest of the random vocabularies",
    "pvalue_random": "One-sided p of vocabulary lift against random vocabularies",
    "pvalue_random_adjusted": "It, Benjamini-Hochberg over heads",
    "prediction_mass": "Share of the decision token's attention off the first token that goes to the reasoning",
    "prediction_lift": "Its weight on the reasoning over that of uniform attention",
    "type_stability": "Share of resamples of the clusters in which the head has the same type; 0..1",
}


def type_names(run: Run) -> tuple[str, ...]:
    """Return the types in the order in which they are tried; the vocabulary type carries the vocabulary's name."""
    vocabulary = run.vocabulary or "vocabulary"
    return ("self-attention", "causal", "beginning-focused", vocabulary, "prediction", "focused", "distributed", MIXED)


def head_types(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Return ``layer, head, head_type, all_types`` and the numbers behind them (``SCORES``), one row per head."""
    scores, names = head_scores(run, settings), type_names(run)
    lift, pvalues = scores.means["vocabulary"], _random_pvalues(scores)
    adjusted = np.stack([adjust_pvalues(own, "fdr_bh") for own in pvalues])
    fits = _fitting(scores, adjusted, settings)
    # The last type fits every head, so the first True is the type.
    drawn = fits.argmax(axis=0)
    stability, runner_up = resamples_same(names, drawn)
    random_mean, random_max = _mean_and_max(scores.random[:, 0])
    columns = {name: values[0] for name, values in scores.means.items() if name != "vocabulary"} | {
        "vocabulary_lift": lift[0],
        "vocabulary_lift_ci_low": lift[0] - scores.reach,
        "vocabulary_lift_ci_high": lift[0] + scores.reach,
        "random_lift": random_mean,
        "random_lift_max": random_max,
        "pvalue_random": pvalues[0],
        "pvalue_random_adjusted": adjusted[0],
        "type_stability": stability,
    }
    places = np.arange(run.num_layers * run.num_heads)
    every = [[name for name, fit in zip(names[:-1], fits[:-1, 0, place], strict=True) if fit] for place in places]
    frame = pl.DataFrame(
        {
            "layer": places // max(run.num_heads, 1),
            "head": places % max(run.num_heads, 1),
            "head_type": [names[slot] for slot in drawn[0]],
            "all_types": [", ".join(fitting) or MIXED for fitting in every],
        },
        schema={"layer": pl.Int32, "head": pl.Int32, "head_type": pl.String, "all_types": pl.String},
    ).with_columns(*(pl.Series(name, columns[name], dtype=pl.Float64).fill_nan(None) for name in SCORES))
    note = "; ".join(filter(None, [random_note(run), _stability_note(drawn)])) or None
    return frame.with_columns(
        pl.Series("type_runner_up", runner_up, dtype=pl.String),
        pl.Series("num_samples", scores.num_samples, dtype=pl.Int32),
        pl.Series("num_clusters", scores.num_clusters, dtype=pl.Int32),
        pl.lit(_method(run)).alias("method"),
        pl.lit(note, dtype=pl.String).alias("note"),
    )


def _method(run: Run) -> str:
    num_random = len(of_kind(run, "random"))
    if run.vocabulary is None or num_random < MIN_RANDOM:
        return "thresholds on means over samples"
    return (
        f"thresholds on means over samples; lift against {num_random} random vocabularies, one-sided, "
        f"t({num_random - 1}), their lifts taken as normal"
    )


def _mean_and_max(random: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(random):
        return np.full(random.shape[1], np.nan), np.full(random.shape[1], np.nan)
    return random.mean(axis=0), random.max(axis=0)


def _stability_note(drawn: np.ndarray) -> str | None:
    return f"fewer than {MIN_CLUSTERS} clusters, so no stability of the types" if len(drawn) < 2 else None


def _fitting(scores: HeadScores, pvalues: np.ndarray, settings: AnalysisSettings) -> np.ndarray:
    """Return ``[types, 1 + resamples, heads]``, whether a type fits; errors in a resample are those of the data."""
    limits, means = dict(settings.head_types), scores.means
    lift = means["vocabulary"]
    with np.errstate(invalid="ignore"):
        exceeds = np.ones(lift.shape, dtype=bool)
        if len(scores.random):
            above_all = lift > scores.random.max(axis=0)
            exceeds = np.where(
                np.isnan(pvalues), above_all | np.isnan(scores.random).any(axis=0), pvalues <= settings.alpha
            )
        rules = [
            means["diagonal"] >= limits["self_attention_diagonal"],
            means["previous_token"] >= limits["causal_previous_token"],
            means["beginning"] >= limits["beginning_mass"],
            (lift >= limits["vocabulary_lift"]) & (lift - scores.reach > 1) & exceeds,
            (means["prediction_mass"] >= limits["prediction_mass"])
            & (means["prediction_lift"] >= limits["prediction_lift"]),
            means["entropy_normalized"] <= limits["focused_entropy"],
            means["entropy_normalized"] >= limits["distributed_entropy"],
            np.ones(lift.shape, dtype=bool),
        ]
    return np.stack(rules)


def _random_pvalues(scores: HeadScores) -> np.ndarray:
    """Return ``[1 + resamples, heads]``, not adjusted yet."""
    lift = scores.means["vocabulary"]
    if not len(scores.random):
        return np.full(lift.shape, np.nan)
    return np.stack([random_pvalues(own, scores.random[:, slot], scores.excess_error) for slot, own in enumerate(lift)])


def random_note(run: Run) -> str | None:
    """Say why there is no ``pvalue_random`` although there is a vocabulary; None where there is one."""
    num_random = len(of_kind(run, "random"))
    if run.vocabulary is None or num_random >= MIN_RANDOM:
        return None
    subject = "no random vocabulary was" if num_random == 0 else f"only {num_random} random vocabularies were"
    subject = "only 1 random vocabulary was" if num_random == 1 else subject
    return f"{subject} collected, and a test needs {MIN_RANDOM}"


def random_pvalues(lift: np.ndarray, random_lifts: np.ndarray, standard_error: np.ndarray) -> np.ndarray:
    """Return the one-sided p of each head's lift against those of random vocabularies.

    Parameters
    ----------
    lift
        ``[heads]`` of the vocabulary.
    random_lifts
        ``[random vocabularies, heads]``; with fewer than ``MIN_RANDOM`` every p is NaN.
    standard_error
        ``[heads]``, the sampling error of the lift minus the mean of the random ones.
    """
    num_random = len(random_lifts)
    if num_random < MIN_RANDOM:
        return np.full(lift.shape, np.nan)
    spread = standard_error**2 + random_lifts.var(axis=0, ddof=1) * (1 + 1 / num_random)
    varies = spread > 0
    statistic = (lift - random_lifts.mean(axis=0)) / np.sqrt(np.where(varies, spread, 1.0))
    return np.where(varies, stats.t.sf(statistic, num_random - 1), np.nan)
