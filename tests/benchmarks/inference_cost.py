"""What the inference costs: ``python -m tests.benchmarks.inference_cost [--samples 1800] [--folder F]``.

Writes a synthetic run of 784 heads, 3 query groups and 30 statistics (float32 Parquet, 32 samples per shard as the
engine writes them), analyses it from Parquet, and prints time and peak memory of every part. Then the same tests as a
loop over statsmodels and SciPy, one at a time: on a few tests, extrapolated to all. CPU seconds are those of all
threads: on a busy machine they say more than the wall clock, and ratios are of them.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import statsmodels.api as sm
from scipy import stats

from analyses.questions.differences.answer import group_differences
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.runs.values import statistic_blocks
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine import schema

LAYERS, HEADS, SHARD = 28, 28, 32
QUERY_GROUPS = ("all", "decision", "response")
CATEGORIES = tuple(f"category_{slot}" for slot in range(12))
KEY_GROUPS = ("words", *CATEGORIES, "number", "statement", "reasoning", "response", "beginning")
NUM_LOOPED = 12


def write_large_run(folder: Path, num_samples: int, num_clusters: int, seed: int = 0) -> Path:
    """Write a run with correlated heads and clusters, nothing of which depends on being correct."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, num_clusters, num_samples)
    places = LAYERS * HEADS
    company = rng.normal(0, 0.3, (num_clusters, places)).astype(np.float32)
    grid = {
        "query_group": pa.array(np.repeat(QUERY_GROUPS, places)),
        "layer": np.tile(np.repeat(np.arange(LAYERS), HEADS), len(QUERY_GROUPS)).astype(np.int32),
        "head": np.tile(np.arange(HEADS), LAYERS * len(QUERY_GROUPS)).astype(np.int32),
    }
    for shard, start in enumerate(range(0, num_samples, SHARD)):
        rows = np.arange(start, min(start + SHARD, num_samples))
        unit = folder / "shards" / f"measure-{shard:05d}"
        unit.mkdir(parents=True)
        samples = _samples(rng, rows, cluster[rows])
        _write(unit, "samples", samples)
        _write(unit, "head_stats", _head_stats(rng, samples, grid, company[cluster[rows]]))
        _write(unit, "baselines", _baselines(rng, samples))
    (folder / "_SUCCESS").touch()
    return folder


def _write(unit: Path, name: str, columns: dict) -> None:
    wanted = schema.table_schema(name, KEY_GROUPS)
    columns |= {
        field.name: pa.nulls(len(columns["sample_id"]), field.type) for field in wanted if field.name not in columns
    }
    pq.write_table(pa.table(columns, schema=wanted), unit / f"{name}.parquet", compression="zstd")


def _samples(rng: np.random.Generator, rows: np.ndarray, cluster: np.ndarray) -> dict:
    count = len(rows)
    is_correct = rng.random(count) < 0.6
    label = np.where(rng.random(count) < 0.6, "increase", "decrease")
    tokens = rng.integers(1500, 4000, count).astype(np.int32)
    columns = {
        "sample_id": [f"s{row:06d}" for row in rows],
        "cluster": [f"c{code}" for code in cluster],
        "year": rng.integers(2013, 2020, count).astype(np.int32),
        "predicted_label": label,
        "actual_label": np.where(is_correct, label, "other"),
        "is_correct": is_correct,
        "num_tokens": tokens,
        "num_prompt_tokens": tokens - 300,
        "flags": pa.array([[] for _ in rows], type=schema.samples_schema([]).field("flags").type),
    }
    counts = {name: rng.integers(5, 60, count).astype(np.int32) for name in KEY_GROUPS}
    counts["words"] = np.sum([counts[name] for name in CATEGORIES], axis=0).astype(np.int32)
    return columns | {f"count_{name}": values for name, values in counts.items()}


def _head_stats(rng: np.random.Generator, samples: dict, grid: dict, company: np.ndarray) -> dict:
    count, groups, places = len(samples["sample_id"]), len(QUERY_GROUPS), LAYERS * HEADS
    length = groups * places
    repeated = np.repeat(np.arange(count), length)
    columns = {
        "sample_id": pa.array(samples["sample_id"]).take(pa.array(repeated)),
        "query_group": pa.chunked_array([grid["query_group"]] * count),
        "layer": np.tile(grid["layer"], count),
        "head": np.tile(grid["head"], count),
    }
    for name in (*schema.BASE_STATISTICS, *(f"mass_{group}" for group in KEY_GROUPS)):
        noise = rng.normal(0, 0.25, (count, groups, places)).astype(np.float32) + company[:, None]
        columns[name] = (1 / (1 + np.exp(2 - noise))).astype(np.float32).reshape(-1)
    return columns


def _baselines(rng: np.random.Generator, samples: dict) -> dict:
    count = len(samples["sample_id"]) * len(QUERY_GROUPS)
    columns = {
        "sample_id": np.repeat(samples["sample_id"], len(QUERY_GROUPS)),
        "query_group": np.tile(QUERY_GROUPS, len(samples["sample_id"])),
    }
    names = (*KEY_GROUPS, "duplicate", "induction")
    return columns | {f"baseline_{name}": rng.uniform(0.05, 0.2, count).astype(np.float32) for name in names}


def peak_gib() -> float:
    """Return the highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def loop_seconds(run_dir: Path, permutations: int) -> tuple[float, float]:
    """Return seconds per test of statsmodels and SciPy, without and with the sign flips, from ``NUM_LOOPED`` tests."""
    tables = open_tables(run_dir)
    ((_, values),) = statistic_blocks(tables, "decision", (schema.BASE_STATISTICS[0],))
    samples = tables.samples
    group = samples["is_correct"].to_numpy().astype(float)
    label = np.where(samples["predicted_label"].to_numpy() == "increase", 1.0, -1.0)
    label -= label.mean()
    length = np.log(samples["num_tokens"].to_numpy())
    columns = np.column_stack([np.ones(len(group)), length, label, label * group, group])
    cluster = np.unique(samples["cluster"].to_numpy(), return_inverse=True)[1]
    options = {"cov_type": "cluster", "cov_kwds": {"groups": cluster}, "use_t": True}
    started = time.process_time()
    for test in range(NUM_LOOPED):
        target = values[:, 0, test].astype(float)
        sm.OLS(target, columns).fit(**options).conf_int()
        sm.OLS(stats.norm.ppf((stats.rankdata(target) - 0.5) / len(target)), columns).fit(**options).pvalues[-1]
        a, b = target[group == 1], target[group == 0]
        stats.ttest_ind(a, b, equal_var=False)
        stats.mannwhitneyu(a, b, method="asymptotic")
    once = (time.process_time() - started) / NUM_LOOPED
    started = time.process_time()
    null = sm.OLS(target, columns[:, :-1]).fit()
    for _ in range(20):
        signs = np.random.default_rng(0).choice([-1.0, 1.0], cluster.max() + 1)
        sm.OLS(null.fittedvalues + signs[cluster] * null.resid, columns).fit(**options).tvalues[-1]
    return once, once + (time.process_time() - started) / 20 * permutations


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1800)
    parser.add_argument("--clusters", type=int, default=0, help="0: a third of the samples")
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None, help="keep the run here; it is reused when it exists")
    parser.add_argument("--only-tests", action="store_true", help="group differences only")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="inference-cost-"))
    if not (folder / "_SUCCESS").exists():
        write_large_run(folder, options.samples, options.clusters or max(options.samples // 3, 1))
    print(f"{options.samples:,} samples, {LAYERS * HEADS} heads, written; peak so far {peak_gib():.2f} GiB", flush=True)
    settings = AnalysisSettings(permutations=options.permutations)
    started = time.perf_counter()
    tables = open_tables(folder)
    print(f"open and check: {time.perf_counter() - started:.1f} s, peak {peak_gib():.2f} GiB", flush=True)
    started, on_cpu = time.perf_counter(), time.process_time()
    if options.only_tests:
        differences = group_differences(tables, settings)[0]
    else:
        differences = answer_questions(tables, settings, VisualizationSettings())["group_differences"]
    seconds, on_cpu = time.perf_counter() - started, time.process_time() - on_cpu
    print(f"{len(differences):,} tests: {seconds:.1f} s, {on_cpu:.1f} CPU s, peak {peak_gib():.2f} GiB", flush=True)
    once, flipped = loop_seconds(folder, options.permutations)
    for name, each in (("statistics alone", once), (f"with {options.permutations:,} sign flips", flipped)):
        total = each * len(differences)
        print(
            f"loop over statsmodels and SciPy, {name}: {total:,.0f} CPU s extrapolated from {NUM_LOOPED} tests, "
            f"{total / on_cpu:,.0f} x"
        )
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
