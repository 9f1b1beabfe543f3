"""Line items, periods and amounts as key groups and in ``span_mass``, from the prompt's characters to the tables."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from engine.encoding.encoded_files import read_batches
from engine.encoding.groups.default_groups import default_key_groups
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.vocabulary import union_name
from engine.errors import ConfigError
from engine.run import main
from tests.fixtures.predictions import ITEMS, records


@pytest.fixture
def run(config_file):
    spans = {
        "line_item": "line_item",
        "current": "current_period",
        "prior": "prior_period",
        "large": "magnitude_large",
        "small": "magnitude_small",
        "inventories": "line_item: INVENTORIES",
        "now": "period: t",
        "before": "period: t-1",
    }
    groups = json.dumps({name: {"spans": kind} for name, kind in spans.items()})
    kept = "statistics.decision_rows=[1000-1990, 1001-1990]"
    assert main([str(config_file), f"key_groups={groups}", kept, "--stage", "collect"]) == 0
    return config_file.parent / "runs" / "test"


def encoded(run):
    paths = sorted((run / "plan" / "encoded").glob("*.parquet"))
    return {s.sample_id: s for path in paths for batch in read_batches(path) for s in batch}


def words(sample, positions):
    """Return the characters of the tokens at the positions, runs apart."""
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
    return [sample.text[sample.char_starts[r[0]] : sample.char_ends[r[-1]]].strip(" |\n") for r in runs if len(r)]


def test_groups_stand_where_the_statement_says(run):
    for sample in encoded(run).values():
        lines = [line for line in sample.text.splitlines() if line.startswith("| ") and " t " not in line]
        rows = [line.split("|")[1:4] for line in lines]
        labels, before, now = ([row[i].strip() for row in rows] for i in range(3))
        assert labels == list(ITEMS)
        keys = sample.key_groups
        assert words(sample, keys["line_item"]) == labels
        assert words(sample, keys["current"]) == ["t", *now] and words(sample, keys["prior"]) == ["t-1", *before]
        assert (keys["now"] == keys["current"]).all() and (keys["before"] == keys["prior"]).all()
        amounts = [abs(float(text)) for text in [*before, *now] if float(text)]
        large = {float(text) for text in words(sample, keys["large"])}
        assert large == {float(t) for t in [*before, *now] if abs(float(t)) > np.median(amounts)}
        assert not set(keys["large"]) & set(keys["small"]) and len(keys["small"])
        place = labels.index("Inventories")
        assert words(sample, keys["inventories"]) == ["Inventories", before[place], now[place]]
        assert [(span.kind, span.name) for span in sample.spans] == [
            *(("line_item", item) for item in ITEMS),
            ("period", "t-1"),
            ("period", "t"),
        ]


def test_span_mass_is_the_decision_rows_sum_over_the_span(run):
    """A slow sum over the kept rows of two samples gives the table; masses lie within 0 and 1."""
    masses = pl.read_parquet(run / "shards" / "*" / "span_mass.parquet")
    kept = pl.read_parquet(run / "shards" / "*" / "decision_head_rows.parquet").to_dicts()
    samples = encoded(run)
    assert masses.height == 12 * 8 * 2 * 4 and masses["mass"].is_between(0, 1).all()
    assert masses.n_unique(["sample_id", "span", "layer", "head"]) == masses.height
    wanted = {(r["sample_id"], r["layer"], r["head"]): r["pattern"] for r in kept}
    found = 0
    for row in masses.filter(pl.col("sample_id").is_in(["1000-1990", "1001-1990"])).to_dicts():
        sample = samples[row["sample_id"]]
        (span,) = (s for s in sample.spans if s.name == row["span"])
        pattern = wanted[row["sample_id"], row["layer"], row["head"]]
        assert row["mass"] == pytest.approx(sum(pattern[p] for p in span.positions), abs=1e-6)
        assert row["baseline"] == pytest.approx(len(span.positions) / (sample.decision_position + 1), rel=1e-6)
        assert row["num_tokens"] == len(span.positions)
        found += 1
    assert found == 2 * 8 * 2 * 4


def test_text_without_a_table_has_empty_groups_and_the_plan_says_so(config_file, tmp_path, capsys):
    rows = records(4)
    for row in rows:
        _, _, answer = row["full_model_response"].partition("\nassistant\n")
        row["full_model_response"] = f"system\nBe kind.\nuser\nWill EPS rise?\nassistant\n{answer}"
    path = tmp_path / "plain.json"
    path.write_text(json.dumps(rows))
    assert main([str(config_file), f"predictions.path={path}", "--stage", "collect"]) == 0
    run = config_file.parent / "runs" / "test"
    plan = json.loads((run / "plan.json").read_text())
    assert plan["num_samples_with_statement"] == 0
    assert {"line_item", "current_period", "prior_period", "magnitude_large"} <= set(plan["empty_key_groups"])
    assert "0 of 4 samples hold a table" in capsys.readouterr().out
    assert not list(run.glob("shards/*/span_mass.parquet"))
    samples = pl.read_parquet(run / "shards" / "*" / "samples.parquet")
    assert samples["count_line_item"].to_list() == [0] * 4


def test_the_union_is_named_after_the_vocabularys_file():
    assert union_name("config/vocabulary/financial.yaml") == "financial" and union_name({"a": ["b"]}) == "vocabulary"
    assert next(iter(default_key_groups({"praise": ["good"]}, "sentiment"))) == "sentiment"


@pytest.mark.parametrize("spans", ["rows", "line_item:", "cell: x", "column: 1972"])
def test_unknown_spans_are_refused(spans):
    from engine.config import KeyGroup

    with pytest.raises(ConfigError, match=r"key_groups\.a\.spans"):
        TokenGroups({}, {"a": KeyGroup(spans=spans)}, ["all"])


def test_kept_fields_become_columns_and_strata(config_file, tmp_path):
    rows = records(12)
    for index, row in enumerate(rows):
        row |= {"sector": "bank" if index < 4 else "steel", "assets": float(index) if index else None}
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(rows))
    settings = [
        "predictions.keep={sector: text, assets: number}",
        "predictions.balance=[sector]",
        "predictions.max_samples=6",
        "predictions.filter={year: {min: 1990, max: 1991}, sector: {not: coal}}",
    ]
    assert main([str(config_file), f"predictions.path={path}", *settings, "--stage", "collect"]) == 0
    run = config_file.parent / "runs" / "test"
    samples = pl.read_parquet(run / "shards" / "*" / "samples.parquet")
    assert samples.schema["field_assets"] == pl.Float64
    assert sorted(samples["field_sector"]) == ["bank"] * 3 + ["steel"] * 3
    by_id = {f"{row['company_id']}-{row['year']}": row["assets"] for row in rows}
    assert samples["field_assets"].to_list() == [by_id[s] for s in samples["sample_id"]]
    selection = json.loads((run / "plan.json").read_text())["selection"]
    assert selection["strata"] == [
        {"stratum": {"sector": "bank"}, "available": 4, "selected": 3},
        {"stratum": {"sector": "steel"}, "available": 8, "selected": 3},
    ]
    assert "chosen" in (run / "plan" / "plan.txt").read_text()
