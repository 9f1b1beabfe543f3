"""How attention develops over layers, where vocabulary categories stand, and what the decision token looks at.

Heads of a layer are averaged within a sample first; samples, clustered as ``analysis.cluster_by`` says, are then the
unit of every interval. Heads and layers are never pooled as if they were independent observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl

from analyses.cores import in_order
from analyses.inference.adjusted.checks import check_differences, why_too_few
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.clustered_means import clustered_mean
from analyses.inference.multiplicity import adjust_pvalues
from analyses.questions.comparisons import EVERYONE, Comparison, fixed_samples, groups_of, model_samples
from analyses.questions.profiles.orders import Ranking
from analyses.questions.profiles.token_weights import heaviest_tokens
from analyses.questions.rare_key_groups import rare_statistics
from analyses.runs.clusters import cluster_codes
from analyses.runs.key_groups import absent_key_groups, of_kind
from analyses.runs.lifts import mean_without_gaps, over_baseline
from analyses.runs.run import Run
from analyses.runs.values import baseline_values, value_blocks
from analyses.settings.analysis import AnalysisSettings
from engine.schema import MASS_PREFIX, NORM_MASS_PREFIX


def profile_statistics(run: Run) -> tuple[str, ...]:
    """Return the statistics of the layer profiles: all but complements, random vocabularies, what no sample holds."""
    names = *of_kind(run, "complement", "random"), *absent_key_groups(run)
    left_out = {f"{prefix}{name}" for name in names for prefix in (MASS_PREFIX, NORM_MASS_PREFIX)}
    return tuple(name for name in run.statistics if name not in left_out)


LayerMeans = tuple[str, tuple[str, ...], np.ndarray]
"""A query group, statistics, and means over heads, ``[samples, statistics, layers]``."""


def layer_blocks(run: Run) -> Iterator[LayerMeans]:
    """Yield query group, statistics and each sample's means over heads, ``[samples, statistics, layers]``.

    ``lift_<key group>`` follows the statistics it belongs to where the run has baselines.
    """
    kinds = of_kind(run, "category", "union", "structure")

    def averaged(query_group: str, names: tuple[str, ...], values: np.ndarray) -> list[LayerMeans]:
        cut = values.reshape(len(run.samples), -1, run.num_layers, max(run.num_heads, 1))
        means = mean_without_gaps(cut, axis=3)
        found: list[LayerMeans] = [(query_group, names, means)]
        for place, name in enumerate(names):
            key_group = name.removeprefix(MASS_PREFIX)
            if name == f"{MASS_PREFIX}{key_group}" and key_group in kinds:
                baseline = baseline_values(run, query_group, key_group)
                if baseline is not None:
                    lift = over_baseline(means[:, place], baseline)[:, None]
                    found.append((query_group, (f"lift_{key_group}",), lift))
        return found

    pieces = (
        partial(averaged, query_group, block.statistics, block.values[:, slot])
        for block in value_blocks(run, profile_statistics(run))
        for slot, query_group in enumerate(block.query_groups)
    )
    for found in in_order(pieces):
        yield from found


def attention_profiles(
    run: Run, settings: AnalysisSettings, comparison: Comparison | None, decision_group: str = ""
) -> tuple[pl.DataFrame, pl.DataFrame, list[Ranking]]:
    """Return ``layer_profiles``, ``key_group_attention`` and the rankings of one query group, in one pass."""
    cluster = cluster_codes(run, settings.cluster_by)
    profiles: list[pl.DataFrame] = []
    measured: dict[tuple[str, str], np.ndarray] = {}
    rankings: list[Ranking] = []
    for query_group, names, values in layer_blocks(run):
        for label, rows in groups_of(run, comparison):
            profiles.append(_profile(query_group, names, values[rows], cluster[rows], label, settings))
        for slot, name in enumerate(names):
            if name.startswith(_MEASURES):
                measured[query_group, name] = mean_without_gaps(values[:, slot], axis=1)
            if query_group == decision_group and name in (f"{MASS_PREFIX}{run.vocabulary}", "entropy_normalized"):
                layers = tuple(map(str, range(run.num_layers)))
                rankings.append(Ranking("layers", name, layers, values[:, slot].astype(np.float64)))
    table = pl.concat(profiles).filter(pl.col("num_samples") > 0).with_columns(pl.col(pl.Float64).fill_nan(None))
    order = pl.DataFrame({"query_group": run.query_groups}, schema={"query_group": pl.String}).with_row_index("at")
    table = table.join(order, on="query_group", how="left", maintain_order="left")
    sorted_table = table.sort("at", maintain_order=True).drop("at")
    words = _key_group_attention(run, measured, settings, comparison)
    return sorted_table, words, [*_word_rankings(run, measured, decision_group), *rankings]


def _word_rankings(run: Run, measured: Mapping[tuple[str, str], np.ndarray], decision_group: str) -> Iterator[Ranking]:
    """Yield the categories of the vocabulary, by weight and by lift."""
    for measure in ("mass", "lift"):
        names = [name for name in of_kind(run, "category") if (decision_group, f"{measure}_{name}") in measured]
        if len(names) > 1:
            columns = [measured[decision_group, f"{measure}_{name}"] for name in names]
            yield Ranking("words", measure, tuple(names), np.column_stack(columns).astype(np.float64))


_MEASURES = (MASS_PREFIX, "lift_")


def _profile(
    query_group: str,
    names: Sequence[str],
    values: np.ndarray,
    cluster: np.ndarray,
    label: str,
    settings: AnalysisSettings,
) -> pl.DataFrame:
    num_layers = values.shape[2]
    estimate = clustered_mean(values.reshape(len(values), -1).astype(np.float64), cluster, 1 - settings.alpha)
    return pl.DataFrame(
        {
            "query_group": [query_group] * (len(names) * num_layers),
            "statistic": [name for name in names for _ in range(num_layers)],
            "layer": np.tile(np.arange(num_layers, dtype=np.int32), len(names)),
            "group": [label] * (len(names) * num_layers),
            "mean": estimate.mean,
            "ci_low": estimate.ci_low,
            "ci_high": estimate.ci_high,
            "num_samples": estimate.num_samples.astype(np.int32),
            "num_clusters": estimate.num_clusters.astype(np.int32),
        },
        schema_overrides={"query_group": pl.String, "statistic": pl.String, "group": pl.String},
    )


def _key_group_attention(
    run: Run,
    measured: Mapping[tuple[str, str], np.ndarray],
    settings: AnalysisSettings,
    comparison: Comparison | None,
) -> pl.DataFrame:
    """Return weight and lift of each key group per query group and group of samples, averaged over heads and layers.

    ``difference`` to ``pvalue_adjusted`` compare a with b by the adjusted, clustered model; the family is every key
    group x query group x measure of this table. They are repeated on both groups' rows, and null with a note where too
    few samples hold the key group (``questions.rare_key_groups``).
    """
    kinds = {name: kind for kind in ("union", "category", "structure") for name in of_kind(run, kind)}
    wanted = [(name, measure) for name in kinds for measure in ("mass", "lift")]
    parts: list[pl.DataFrame] = []
    for query_group in run.query_groups:
        present = [(name, kind) for name, kind in wanted if (query_group, f"{kind}_{name}") in measured]
        values = np.empty((len(run.samples), len(present)))
        for slot, (name, measure) in enumerate(present):
            values[:, slot] = measured[query_group, f"{measure}_{name}"]
        keys = pl.DataFrame(
            {
                "query_group": [query_group] * len(present),
                "key_group": [name for name, _ in present],
                "kind": [kinds[name] for name, _ in present],
                "measure": [measure for _, measure in present],
            },
            schema=dict.fromkeys(("query_group", "key_group", "kind", "measure"), pl.String),
        )
        parts.append(_compare(run, keys, values, settings, comparison))
    table = pl.concat(parts).filter(pl.col("num_samples") > 0)
    rare = rare_statistics(run, comparison) if comparison is not None else {}
    note = pl.format(f"{MASS_PREFIX}{{}}", "key_group").replace_strict(rare, default=None, return_dtype=pl.String)
    untested = [
        pl.when(pl.col("note").is_null()).then(name).alias(name) for name in (*_TEST_COLUMNS, "worst", "method")
    ]
    table = table.with_columns(note=pl.coalesce(note, "note")).with_columns(untested)
    tested = table.unique(["query_group", "key_group", "measure"], maintain_order=True)
    keyed = tested.select("query_group", "key_group", "measure").with_columns(_adjusted(tested, settings.correction))
    joined = table.join(keyed, on=["query_group", "key_group", "measure"], how="left", maintain_order="left")
    return joined.drop("worst").with_columns(pl.col(pl.Float64).fill_nan(None))


def _adjusted(tested: pl.DataFrame, correction: str) -> list[pl.Series]:
    """Return p adjusted over a table of tests: the difference's own, and the largest of all checks."""
    names = {"pvalue_adjusted": "pvalue", "pvalue_claim": "worst"}
    return [
        pl.Series(name, adjust_pvalues(tested[raw].cast(pl.Float64).fill_null(float("nan")).to_numpy(), correction))
        for name, raw in names.items()
    ]


def _compare(
    run: Run,
    keys: pl.DataFrame,
    values: np.ndarray,
    settings: AnalysisSettings,
    comparison: Comparison | None,
) -> pl.DataFrame:
    cluster = cluster_codes(run, settings.cluster_by)
    confidence = 1 - settings.alpha
    tested: dict[str, np.ndarray] = {name: np.full(len(keys), np.nan) for name in (*_TEST_COLUMNS, "worst")}
    why = "no comparison is configured" if comparison is None else comparison.problem.removesuffix(".")
    texts = {"method": [None] * len(keys), "note": [why] * len(keys)}
    if comparison is not None and not comparison.problem:
        model = model_samples(run, settings, comparison)
        inside = values[comparison.is_member]
        effects = adjusted_effects(inside, model, confidence)
        piled = why_too_few(inside, model.is_a)
        for column in (effects.pvalue, effects.ci_low, effects.ci_high):
            column[piled != ""] = np.nan
        effects.note[piled != ""] = piled[piled != ""]
        checks = check_differences(inside, effects, model, fixed_samples(run, settings, comparison))
        columns = effects.effect, effects.ci_low, effects.ci_high, effects.pvalue
        tested = dict(zip(_TEST_COLUMNS, columns, strict=False))
        tested |= {name: getattr(checks, name) for name in (*_CHECK_COLUMNS, "worst")}
        texts = {name: [text or None for text in getattr(effects, name)] for name in ("method", "note")}
    parts: list[pl.DataFrame] = []
    for label, rows in groups_of(run, comparison):
        estimate = clustered_mean(values[rows], cluster[rows], confidence)
        columns = {
            "mean": estimate.mean,
            "ci_low": estimate.ci_low,
            "ci_high": estimate.ci_high,
            "num_samples": estimate.num_samples.astype(np.int32),
            "num_clusters": estimate.num_clusters.astype(np.int32),
        }
        named = [pl.lit(label).alias("group"), *(pl.Series(name, column) for name, column in columns.items())]
        named += [pl.Series(name, column) for name, column in tested.items()]
        named += [pl.Series(name, column, dtype=pl.String) for name, column in texts.items()]
        parts.append(keys.with_columns(named))
    return pl.concat(parts)


_CHECK_COLUMNS = ("pvalue_ranks", "pvalue_pooled", "difference_fixed", "pvalue_fixed")

_TEST_COLUMNS = ("difference", "difference_ci_low", "difference_ci_high", "pvalue", *_CHECK_COLUMNS)


def decision_top_tokens(
    run: Run, settings: AnalysisSettings, comparison: Comparison | None, max_tokens: int
) -> tuple[pl.DataFrame, Ranking] | None:
    """Return the tokens the decision token weighs most: their weight per head, averaged over heads and layers.

    Beside the table the ranking that it makes.

    Only the kept top keys count, so a token's weight is a lower bound. None when the run kept no top keys.
    """
    found = heaviest_tokens(run, max_tokens)
    if found is None:
        return None
    chosen, values = found
    keyed = pl.DataFrame({"token": pl.Series(chosen, dtype=pl.String), "rank": np.arange(1, len(chosen) + 1)})
    table = _compare(run, keyed, values, settings, comparison)
    tests = table.filter(pl.col("group") == EVERYONE)
    adjusted = tests.select("token").with_columns(_adjusted(tests, settings.correction))
    joined = table.join(adjusted, on="token", how="left").drop("worst")
    return joined.with_columns(pl.col(pl.Float64).fill_nan(None)), Ranking("tokens", "mass", tuple(chosen), values)
