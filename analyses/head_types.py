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
financial
    Vocabulary terms get at least ``financial_lift`` times what uniform attention would give them, the interval lies
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
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from analyses.key_groups import HOLDS_FIRST_TOKEN, of_kind, vocabulary_union
from analyses.queries import cluster_codes, lift_values, sink_free_mass, with_baselines
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import adjust_pvalues, clustered_mean
from engine.schema import BASELINE_PREFIX, MASS_PREFIX

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
    "pvalue_random": "One-sided p of vocabulary lift against random vocabularies, Benjamini-Hochberg over heads",
    "prediction_mass": "Share of the decision token's attention off the first token that goes to the reasoning",
    "prediction_lift": "Its weight on the reasoning over that of uniform attention",
}


def type_names(tables: RunTables) -> tuple[str, ...]:
    """Return the types in the order in which they are tried; the vocabulary type carries the vocabulary's name."""
    vocabulary = vocabulary_union(tables) or "financial"
    return ("self-attention", "causal", "beginning-focused", vocabulary, "prediction", "focused", "distributed", MIXED)


def head_types(tables: RunTables, settings: AnalysisSettings) -> pl.DataFrame:
    """Return ``layer, head, head_type, all_types`` and the numbers behind them (``SCORES``), one row per head."""
    scores = _mean_scores(tables)
    scores = scores.join(_vocabulary_scores(tables, settings), on=["layer", "head"], how="left")
    scores = scores.join(_prediction_scores(tables), on=["layer", "head"], how="left")
    limits = settings.head_types
    rules = [
        pl.col("diagonal") >= limits["self_attention_diagonal"],
        pl.col("previous_token") >= limits["causal_previous_token"],
        pl.col("beginning") >= limits["beginning_mass"],
        (pl.col("vocabulary_lift") >= limits["financial_lift"])
        & (pl.col("vocabulary_lift_ci_low") > 1)
        & _exceeds_random(settings.alpha),
        (pl.col("prediction_mass") >= limits["prediction_mass"])
        & (pl.col("prediction_lift") >= limits["prediction_lift"]),
        pl.col("entropy_normalized") <= limits["focused_entropy"],
        pl.col("entropy_normalized") >= limits["distributed_entropy"],
    ]
    names = type_names(tables)
    fitting = [pl.when(rule.fill_null(False)).then(pl.lit(name)) for rule, name in zip(rules, names[:-1], strict=True)]
    typed = scores.with_columns(
        head_type=pl.coalesce(*fitting, pl.lit(MIXED)),
        all_types=pl.concat_str(fitting, separator=", ", ignore_nulls=True).replace("", MIXED),
    )
    noted = typed.with_columns(note=pl.lit(random_note(tables), dtype=pl.String))
    return noted.select("layer", "head", "head_type", "all_types", *SCORES, "note").sort("layer", "head")


def _exceeds_random(alpha: float) -> pl.Expr:
    highest = pl.col("random_lift_max")
    return pl.coalesce(
        pl.col("pvalue_random") <= alpha, pl.col("vocabulary_lift") > highest, pl.col("vocabulary_lift").is_not_null()
    )


def random_note(tables: RunTables) -> str | None:
    """Say why there is no ``pvalue_random`` although there is a vocabulary; None where there is one."""
    num_random = len(of_kind(tables, "random"))
    if vocabulary_union(tables) is None or num_random >= MIN_RANDOM:
        return None
    found = "no random vocabulary was" if num_random == 0 else f"only {num_random} random vocabularies were"
    found = "only 1 random vocabulary was" if num_random == 1 else found
    return f"{found} collected, and a test needs {MIN_RANDOM}"


def _rows_of(tables: RunTables, wanted: str) -> str | None:
    if wanted in tables.query_groups:
        return wanted
    return tables.query_groups[0] if wanted == "all" and tables.query_groups else None


def _mean_scores(tables: RunTables) -> pl.DataFrame:
    beginning = f"{MASS_PREFIX}beginning" if "beginning" in tables.key_groups else "first_token"
    sources = {
        "diagonal": "diagonal_excluding_first",
        "previous_token": "previous_token",
        "beginning": beginning,
        "entropy_normalized": "entropy_normalized",
    }
    values = [
        (pl.col(source).fill_nan(None).mean() if source in tables.statistics else pl.lit(None))
        .cast(pl.Float64)
        .alias(name)
        for name, source in sources.items()
    ]
    rows = tables.head_stats.filter(pl.col("query_group") == _rows_of(tables, "all"))
    keys = [pl.col("layer").cast(pl.Int32), pl.col("head").cast(pl.Int32)]
    return rows.group_by(keys).agg(values).collect(engine="streaming")


def _vocabulary_scores(tables: RunTables, settings: AnalysisSettings) -> pl.DataFrame:
    places = _places(tables)
    union, rows = vocabulary_union(tables), _rows_of(tables, "all")
    values = lift_values(tables, rows, union) if union and rows else None
    if values is None:
        return places.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in _VOCABULARY_SCORES)
    cluster = cluster_codes(tables, settings.cluster_by)
    estimate = clustered_mean(values.astype(np.float64), cluster, 1 - settings.alpha)
    columns = {
        "vocabulary_lift": estimate.mean,
        "vocabulary_lift_ci_low": estimate.ci_low,
        "vocabulary_lift_ci_high": estimate.ci_high,
        "random_lift": np.full(len(places), np.nan),
        "random_lift_max": np.full(len(places), np.nan),
        "pvalue_random": np.full(len(places), np.nan),
    }
    assert rows is not None
    found = [lift_values(tables, rows, name) for name in of_kind(tables, "random")]
    references = [reference.astype(np.float64) for reference in found if reference is not None]
    if references:
        lifts = np.stack([clustered_mean(reference, cluster).mean for reference in references])
        excess = clustered_mean(values - np.mean(references, axis=0), cluster)
        columns["random_lift"], columns["random_lift_max"] = lifts.mean(axis=0), lifts.max(axis=0)
        columns["pvalue_random"] = adjust_pvalues(random_pvalues(estimate.mean, lifts, excess.standard_error), "fdr_bh")
    return places.with_columns(pl.Series(name, column).fill_nan(None) for name, column in columns.items())


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


_VOCABULARY_SCORES = tuple(name for name in SCORES if name.startswith(("vocabulary", "random", "pvalue")))


def _places(tables: RunTables) -> pl.DataFrame:
    places = np.arange(tables.num_layers * tables.num_heads)
    columns = {"layer": places // max(tables.num_heads, 1), "head": places % max(tables.num_heads, 1)}
    return pl.DataFrame(columns, schema={"layer": pl.Int32, "head": pl.Int32})


def _prediction_scores(tables: RunTables) -> pl.DataFrame:
    """Return the decision token's attention to the reasoning (the answer where that is not measured)."""
    places = _places(tables)
    source = next((name for name in ("reasoning", "response") if name in tables.key_groups), None)
    if source is None or _rows_of(tables, "decision") is None or "first_token" not in tables.statistics:
        return places.with_columns(
            pl.lit(None, dtype=pl.Float64).alias(name) for name in ("prediction_mass", "prediction_lift")
        )
    assert source not in HOLDS_FIRST_TOKEN
    rows = tables.head_stats.filter(pl.col("query_group") == "decision").select(
        "sample_id", "query_group", "layer", "head", "first_token", f"{MASS_PREFIX}{source}"
    )
    share = sink_free_mass(source)
    joined = with_baselines(tables, rows)
    baseline = f"{BASELINE_PREFIX}{source}"
    if joined is None or baseline not in joined.collect_schema().names():
        joined, over_uniform = rows, pl.lit(None, dtype=pl.Float64)
    else:
        over_uniform = pl.when(pl.col(baseline) > 0).then(share / pl.col(baseline))
    keys = [pl.col("layer").cast(pl.Int32), pl.col("head").cast(pl.Int32)]
    values = {"prediction_mass": share.fill_nan(None).mean(), "prediction_lift": over_uniform.fill_nan(None).mean()}
    return joined.group_by(keys).agg(**values).collect(engine="streaming")
