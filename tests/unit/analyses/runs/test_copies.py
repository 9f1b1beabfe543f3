"""One text under several ids is one observation: copies in several clusters are a cluster of their own, and said."""

import numpy as np
import polars as pl
import pytest

from analyses.questions.overview.facts import run_facts
from analyses.runs.clusters import cluster_codes
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import edit_table, write_run

COPIED = ["s00003", "s00004", "s00009"]
NUMBERS = ("num_tokens", "predicted_label", "logit_difference", "label_surprisal")


def copy_samples(run_dir, columns, heads):
    """Give samples some numbers of the first of them, and its heads' where asked."""

    def samples(frame):
        first = frame.row(by_predicate=pl.col("sample_id") == COPIED[0], named=True)
        is_copy = pl.col("sample_id").is_in(COPIED)
        kinds = frame.schema
        return frame.with_columns(
            pl.when(is_copy).then(pl.lit(first[name], kinds[name])).otherwise(pl.col(name)).alias(name)
            for name in columns
        )

    def head_stats(frame):
        first = frame.filter(pl.col("sample_id") == COPIED[0])
        copies = [first.with_columns(sample_id=pl.lit(name)) for name in COPIED]
        return pl.concat([frame.filter(~pl.col("sample_id").is_in(COPIED)), *copies])

    edit_table(run_dir, "samples", samples)
    if heads:
        edit_table(run_dir, "head_stats", head_stats)


@pytest.mark.parametrize(
    ("columns", "heads", "num_copied"),
    [
        (NUMBERS, True, 3),
        (NUMBERS, False, 0),
        (("predicted_label", "logit_difference"), True, 0),
        (("num_tokens", "logit_difference"), True, None),
        ((*NUMBERS, "cluster"), True, 0),
    ],
    ids=["copies", "other heads", "other length", "label as it comes", "copies in one cluster"],
)
def test_copies_in_several_clusters_are_one(tmp_path, columns, heads, num_copied):
    run_dir = write_run(tmp_path / "run", num_samples=30, num_layers=2, num_heads=2, num_clusters=20, num_shards=1)
    plain = cluster_codes(open_tables(run_dir), "cluster")
    copy_samples(run_dir, columns, heads)
    run = open_tables(run_dir)
    labels = run.samples.filter(pl.col("sample_id").is_in(COPIED))["predicted_label"].to_list()
    expected = max(map(labels.count, labels)) if num_copied is None else num_copied
    expected = expected if expected > 1 else 0
    (told,) = [value for name, value in run_facts(run, AnalysisSettings()) if name == "Independent units"]
    assert (f"{expected} samples are copies of 1 in several clusters" in told) == (expected > 0)
    codes = cluster_codes(run, "cluster")
    rows = [run.rows_of[name] for name in COPIED]
    if expected == len(COPIED):
        assert len(set(codes[rows])) == 1 and (codes == codes[rows[0]]).sum() == len(COPIED)
        others = np.setdiff1d(np.arange(30), rows)
        assert all((codes[i] == codes[j]) == (plain[i] == plain[j]) for i in others for j in others)
    assert ("copies" in told) == (expected > 0)
