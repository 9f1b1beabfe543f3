"""What the live view costs on a large run: ``python -m tests.benchmarks.view_scale --samples 20000``.

A run of 28 layers x 28 heads is made: as many samples as asked for, one query group, three statistics. Then pages are
asked for as a browser would, and CPU and wall seconds and the memory of the process are told. Texts are 400 tokens.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from analyses.viewing.pages import Pages
from analyses.viewing.source import open_viewed
from tests.fixtures.synthetic_run import write_run

LAYERS = HEADS = 28
PER_SHARD = 100
STATISTICS = ("entropy_nats", "first_token", "mass_financial")


def make(folder: Path, num_samples: int, num_tokens: int) -> Path:
    """Write the run: the columns of a small one, grown to as many samples and heads."""
    seed = write_run(folder / "seed", num_samples=2, num_layers=1, num_heads=1, num_shards=1)
    unit = next((seed / "shards").glob("measure-*"))
    sample = pl.read_parquet(unit / "samples.parquet").head(1)
    rng, run_dir = np.random.default_rng(0), folder / "run"
    places = LAYERS * HEADS
    words = np.array([" profit", " rose", " fell", " 12.5", " |", " and", " EPS", "\n"])
    for shard, first in enumerate(range(0, num_samples, PER_SHARD)):
        ids = [f"s{number:06d}" for number in range(first, min(first + PER_SHARD, num_samples))]
        here = run_dir / "shards" / f"measure-{shard:05d}"
        here.mkdir(parents=True)
        grown = pl.concat([sample] * len(ids)).with_columns(
            sample_id=pl.Series(ids),
            is_correct=pl.Series(rng.random(len(ids)) < 0.6),
            logit_difference=pl.Series(rng.normal(size=len(ids)).astype(np.float32)),
            decision_position=pl.lit(num_tokens - 3, dtype=pl.Int32),
        )
        grown.write_parquet(here / "samples.parquet")
        repeated = pl.Series(ids).gather(np.repeat(np.arange(len(ids)), places))
        layer, head = np.indices((LAYERS, HEADS)).reshape(2, -1).astype(np.int32)
        stats = {"sample_id": repeated, "query_group": ["decision"] * len(repeated)}
        stats |= {"layer": np.tile(layer, len(ids)), "head": np.tile(head, len(ids))}
        stats |= {name: rng.random(len(repeated)).astype(np.float32) for name in STATISTICS}
        pl.DataFrame(stats).write_parquet(here / "head_stats.parquet")
        tokens = pl.DataFrame(
            {
                "sample_id": pl.Series(ids).gather(np.repeat(np.arange(len(ids)), num_tokens)),
                "position": np.tile(np.arange(num_tokens, dtype=np.int32), len(ids)),
                "token": words[rng.integers(0, len(words), num_tokens * len(ids))].tolist(),
                "char_start": None,
                "char_end": None,
                "segment": "statement",
            }
        )
        tokens.write_parquet(here / "tokens.parquet")
        rows = rng.dirichlet(np.full(num_tokens - 2, 0.1), (len(ids), LAYERS)).astype(np.float32)
        pl.DataFrame(
            {
                "sample_id": np.repeat(ids, LAYERS).tolist(),
                "layer": np.tile(np.arange(LAYERS, dtype=np.int32), len(ids)),
                "pattern": rows.reshape(len(ids) * LAYERS, -1).tolist(),
                "rollout": None,
            }
        ).write_parquet(here / "decision_rows.parquet")
    (run_dir / "_SUCCESS").touch()
    return run_dir


def timed(what: str, act) -> object:
    """Do something and print its seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = act()
    print(f"| {what} | {time.perf_counter() - wall:.2f} | {time.process_time() - cpu:.2f} |", flush=True)
    return result


def main() -> None:
    """Make the run and ask for pages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run_dir = make(Path(folder), options.samples, options.tokens)
        print(f"{options.samples:,} samples x {LAYERS * HEADS} heads, {options.tokens} tokens\n")
        print("| | wall s | CPU s |\n|---|---|---|")
        (viewed,) = timed("open", lambda: open_viewed([run_dir]))
        pages = Pages([viewed])

        def asked(path: str, **fields: str) -> object:
            return pages.routes[path](viewed, fields)

        timed("list of samples", lambda: asked("/"))
        timed("sorted and filtered", lambda: asked("/", sort="logit_difference", column="is_correct", value="true"))
        timed("one sample", lambda: asked("/sample", id="s000007"))
        timed("another sample", lambda: asked("/sample", id=f"s{options.samples - 1:06d}", layer="3"))
        timed("a head, its statistic read from all files", lambda: asked("/head", layer="3", head="5"))
        timed("another head", lambda: asked("/head", layer="9", head="1"))
        timed("SQL: a mean over all heads", lambda: asked("/sql", sql="SELECT AVG(entropy_nats) FROM head_stats"))
        timed("texts read in the background", lambda: viewed.texts.wait(3600))
        timed("search in texts", lambda: asked("/", q="fell 12.5"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of the process, making of the run included: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
