"""Opening runs, refusing what is none, and the tidy frames."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from analyses.runs import clusters, labels, layouts, lifts, run, units
from analyses.runs import values as runs_values
from analyses.runs.key_groups import declared_statistics
from analyses.runs.vocabulary import find_vocabulary, kind_of
from analyses.settings.analysis import SettingsError
from tests.fixtures.synthetic_run import KEY_GROUPS, edit_table, seal, write_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "small", num_samples=24, num_layers=3, num_heads=2)


@pytest.fixture
def copied(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "copied")


def test_open_tables_knows_the_run(run_dir):
    tables = run.open_tables(run_dir)
    assert (tables.num_layers, tables.num_heads, len(tables.samples)) == (3, 2, 24)
    assert tables.query_groups == ("all", "decision", "response")
    assert tables.key_groups == KEY_GROUPS
    assert not tables.is_partial and tables.config == {} and tables.seed == 0


@pytest.mark.parametrize(
    "problem", ["missing", "no_shards", "no_success", "no_tables", "not_parquet", "column", "version"]
)
def test_a_directory_that_is_no_run_is_refused_with_its_name_and_a_remedy(copied, problem):
    path = copied
    if problem == "missing":
        path = copied / "nowhere"
    elif problem == "no_shards":
        shutil.rmtree(copied / "shards")
    elif problem == "no_success":
        (copied / "_SUCCESS").unlink()
    elif problem == "no_tables":
        shutil.rmtree(copied / "shards")
        (copied / "shards" / "measure-00000").mkdir(parents=True)
    elif problem == "not_parquet":
        (copied / "shards" / "measure-00001" / "samples.parquet").write_text("oops")
    elif problem == "column":
        edit_table(copied, "head_stats", lambda frame: frame.drop("layer"))
    elif problem == "version":
        table = pl.read_parquet(copied / "shards" / "measure-00000" / "samples.parquet").to_arrow()
        import pyarrow.parquet as pq

        changed = table.replace_schema_metadata({"headledger_schema_version": "99"})
        pq.write_table(changed, copied / "shards" / "measure-00000" / "samples.parquet")
    with pytest.raises(units.RunError) as refused:
        run.open_tables(path)
    text = str(refused.value)
    assert str(copied) in text and len(text) > 60 and "\n" not in text


def test_partial_reads_an_unfinished_run_and_only_its_committed_shards(copied):
    seal(copied)
    (copied / "_SUCCESS").unlink()
    (copied / "shards" / "measure-00001" / "manifest.json").unlink()
    tables = run.open_tables(copied, partial=True)
    assert tables.is_partial and len(tables.samples) == 16


def test_dot_directories_and_causal_units_are_no_samples(copied):
    shutil.copytree(copied / "shards" / "measure-00000", copied / "shards" / ".incoming")
    (copied / "shards" / "causal-00000").mkdir()
    pl.DataFrame({"sample_id": ["s00000"], "change": [0.5]}).write_parquet(
        copied / "shards" / "causal-00000" / "interventions.parquet"
    )
    tables = run.open_tables(copied)
    assert len(tables.samples) == 24
    assert tables.head_stats.select(pl.len()).collect().item() == 24 * 3 * 6
    assert tables.tables["interventions"].collect().height == 1


def test_a_sample_in_two_shards_is_refused(copied):
    shutil.copytree(copied / "shards" / "measure-00000", copied / "shards" / "measure-00009")
    with pytest.raises(units.RunError, match="more than one shard"):
        run.open_tables(copied)


def test_shards_with_other_columns_are_refused(copied):
    path = copied / "shards" / "measure-00001" / "head_stats.parquet"
    pl.read_parquet(path).rename({"mass_profit": "mass_gain"}).write_parquet(path)
    with pytest.raises(units.RunError, match="differ in their columns"):
        run.open_tables(copied)


def test_a_foreign_run_with_fewer_and_other_typed_columns_is_read(copied):
    shutil.rmtree(copied / "shards" / "measure-00002")
    edit_table(
        copied,
        "samples",
        lambda frame: frame.select("sample_id", "is_correct", cluster=pl.col("cluster").str.slice(1).cast(pl.Int64)),
    )
    for unit in (copied / "shards").iterdir():
        (unit / "baselines.parquet").unlink()
    tables = run.open_tables(copied)
    assert tables.samples["cluster"].dtype == pl.String and tables.samples["predicted_label"].is_null().all()
    assert runs_values.baseline_values(tables, "all", "financial") is None


def test_statistic_blocks_put_every_value_in_its_place(run_dir):
    tables = run.open_tables(run_dir)
    names = ("mass_profit", "entropy_nats", "first_token")
    blocks = list(runs_values.statistic_blocks(tables, "decision", names, max_bytes=1))
    assert [block[0] for block in blocks] == [(name,) for name in names]
    rows = tables.head_stats.filter(pl.col("query_group") == "decision").collect()
    order = {name: slot for slot, name in enumerate(tables.samples["sample_id"])}
    for (name,), values in blocks:
        assert values.shape == (24, 1, 6)
        for row in rows.sample(40, seed=1).iter_rows(named=True):
            assert values[order[row["sample_id"]], 0, row["layer"] * 2 + row["head"]] == np.float32(row[name])


def test_blocks_hold_every_value_whatever_the_order_of_rows_and_the_size_of_pieces(copied, monkeypatch):
    tables = run.open_tables(copied)
    assert all(layout.is_regular for layout in tables.layouts)
    whole = {(block.query_groups, block.statistics): block.values for block in runs_values.value_blocks(tables, NAMES)}
    ((groups, names),) = whole
    assert (groups, names) == (tables.query_groups, NAMES)
    expected, means = whole[groups, names], runs_values.head_means(tables)
    monkeypatch.setattr(layouts, "ROWS_AT_ONCE", 40)
    edit_table(copied, "head_stats", lambda frame: frame)
    small = run.open_tables(copied)
    assert all(layout.is_regular for layout in small.layouts)
    file, length = small.layouts[0].path, 3 * small.layouts[0].rows_per_sample // 2
    sizes = [len(table) for table in layouts._aligned(file, ["layer"], length)]
    assert len(sizes) > 2 and sum(sizes) == pq.read_metadata(file).num_rows
    assert all(size % length == 0 and size <= max(40, length) for size in sizes[:-1]) and sizes[-1] <= length
    for block in runs_values.value_blocks(small, NAMES, max_bytes=1):
        slot, place = groups.index(block.query_groups[0]), NAMES.index(block.statistics[0])
        np.testing.assert_array_equal(block.values[:, 0, 0], expected[:, slot, place])
    edit_table(copied, "head_stats", lambda frame: frame.sample(fraction=1.0, shuffle=True, seed=3))
    mixed = run.open_tables(copied)
    assert not any(layout.is_regular for layout in mixed.layouts)
    (block,) = runs_values.value_blocks(mixed, NAMES)
    np.testing.assert_array_equal(block.values, expected)
    assert_frame_equal(runs_values.head_means(mixed), means)


NAMES = ("mass_profit", "entropy_nats", "first_token")


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ids=["string", "large string", "string view", "dictionary"],
)
def test_files_of_any_kind_of_text_and_of_many_row_groups_are_seen_to_be_regular(run_dir, tmp_path, monkeypatch, kind):
    (known, *_) = run.open_tables(run_dir).layouts
    table = pq.read_table(known.path)
    for name in ("sample_id", "query_group"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()).cast(kind))
    path = tmp_path / "head_stats.parquet"
    for rows in (7, known.rows_per_sample, len(table)):
        pq.write_table(table, path, row_group_size=rows)
        for at_once in (2 * known.rows_per_sample, layouts.ROWS_AT_ONCE):
            monkeypatch.setattr(layouts, "ROWS_AT_ONCE", at_once)
            assert layouts.read_layout(path) == replace(known, path=path)
        monkeypatch.undo()
    pq.write_table(pa.concat_tables([table.slice(1, 1), table.slice(0, 1), table.slice(2)]), path)
    assert not layouts.read_layout(path).is_regular


def test_the_keys_of_a_file_are_decoded_once(run_dir, monkeypatch):
    read, whole = [], pq.ParquetFile.read

    def counted(file, columns=None, **more):
        read.append(columns)
        return whole(file, columns=columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "read", counted)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *given, **more: pytest.fail("read in parts as well"))
    (unit, *_) = sorted((run_dir / "shards").glob("*/head_stats.parquet"))
    assert layouts.read_layout(unit).is_regular and read == [list(layouts.KEYS)]


def test_kept_keys_are_those_of_their_sample(run_dir):
    tables = run.open_tables(run_dir)
    keys = runs_values.TopKeys(tables)
    pieces = list(keys.pieces())
    found = pl.DataFrame(
        {
            "sample_id": [tables.samples["sample_id"][int(row)] for piece in pieces for row in piece.sample],
            "place": [head for piece in pieces for head in piece.head],
            "token": [keys.tokens[token] for piece in pieces for token in piece.token],
            "weight": [weight for piece in pieces for weight in piece.weight],
        }
    )
    stored = pl.concat([pl.read_parquet(path) for path in tables.files["decision_top_keys"]])
    place = (pl.col("layer").cast(pl.Int64) * tables.num_heads + pl.col("head")).alias("place")
    wanted = stored.select("sample_id", place, "token", pl.col("weight").cast(pl.Float64))
    assert_frame_equal(found, wanted, check_row_order=False, check_dtypes=False)


def test_labels_of_free_answers_say_only_that_there_is_one(run_dir):
    tables = run.open_tables(run_dir)
    plain = labels.labels_of(tables, "predicted_label")
    assert plain.to_list() == tables.samples["predicted_label"].fill_null("unknown").to_list()
    free = SimpleNamespace(samples=tables.samples, section=lambda _name: {"span": {"cue": "Answer:"}})
    assert set(labels.labels_of(free, "predicted_label")) == {labels.FREE}


def test_null_statistics_become_nan_and_not_zero(copied):
    edit_table(
        copied,
        "head_stats",
        lambda frame: frame.with_columns(
            pl.when(pl.col("sample_id") == "s00003").then(None).otherwise(pl.col("mass_profit")).alias("mass_profit")
        ),
    )
    tables = run.open_tables(copied)
    ((_, values),) = runs_values.statistic_blocks(tables, "all", ("mass_profit",))
    missing = np.isnan(values[:, 0]).all(axis=1)
    assert tables.samples["sample_id"].to_numpy()[missing].tolist() == ["s00003"] and missing.sum() == 1


def test_baselines_per_layer_win_over_those_for_all_layers(copied):
    edit_table(copied, "baselines", lambda frame: pl.concat([frame, layer_two(frame)]))
    tables = run.open_tables(copied)
    ((_, mass),) = runs_values.statistic_blocks(tables, "all", ("mass_profit",))
    found = lifts.over_baseline(mass.reshape(24, 3, 2), runs_values.baseline_values(tables, "all", "profit"))
    baseline = tables.tables["baselines"].filter((pl.col("query_group") == "all") & pl.col("layer").is_null())
    joined = tables.samples.lazy().select("sample_id").join(baseline, on="sample_id", maintain_order="left").collect()
    expected = mass.reshape(24, 3, 2) / joined["baseline_profit"].to_numpy()[:, None, None]
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], mass.reshape(24, 3, 2)[:, 2] / 0.5, rtol=1e-5)


def layer_two(frame):
    names = [name for name in frame.columns if name.startswith("baseline_")]
    halves = [pl.lit(0.5, dtype=pl.Float32).alias(name) for name in names]
    return frame.with_columns(pl.lit(2, dtype=pl.Int32).alias("layer"), *halves)


def test_head_means_are_plain_means(run_dir):
    tables = run.open_tables(run_dir)
    means = runs_values.head_means(tables)
    rows = tables.head_stats.collect()
    one = rows.filter((pl.col("query_group") == "all") & (pl.col("layer") == 1) & (pl.col("head") == 1))
    found = means.filter((pl.col("query_group") == "all") & (pl.col("layer") == 1) & (pl.col("head") == 1))
    assert found["mass_time"].item() == pytest.approx(one["mass_time"].mean(), rel=1e-6)
    assert found["num_samples"].item() == 24 and len(means) == 18


def test_key_groups_are_told_apart_by_config_and_by_name(run_dir):
    config = {"key_groups": {"words": {"vocabulary": ["a", "b"]}, "a": {"vocabulary": ["a"]}, "x": {"regex": "x"}}}
    assert [kind_of(name, config, None) for name in ("words", "a", "x")] == ["union", "category", "structure"]
    names = ("moods", "profit", "number", "random_3", "not_profit")
    kinds = ["union", "category", "structure", "random", "complement"]
    assert [kind_of(name, {}, "moods") for name in names] == kinds


def counts(**columns):
    return pl.DataFrame({f"count_{name}": values for name, values in columns.items()})


def test_the_vocabulary_is_found_from_the_config_the_random_groups_or_the_counts(run_dir):
    groups, none = ("moods", "joy", "fear", "number"), counts()
    assert find_vocabulary(groups, {"vocabulary": "config/vocabulary/moods.yaml", "key_groups": None}, none) == "moods"
    inline = {"vocabulary": {"joy": ["glad"]}, "key_groups": None}
    assert find_vocabulary(("vocabulary", "joy"), inline, none) == "vocabulary"
    config = {"key_groups": {"joy": {"vocabulary": ["joy"]}, "moods": {"vocabulary": ["joy", "fear"]}}}
    assert find_vocabulary(groups, config, none) == "moods"
    assert find_vocabulary((*groups, "random_moods_1"), {}, none) == "moods"
    counted = counts(moods=[5, 7], joy=[2, 3], fear=[3, 4], number=[9, 9])
    assert find_vocabulary(groups, {}, counted) == "moods"
    assert find_vocabulary(groups, {}, counts(moods=[5, 2], joy=[2, 3], fear=[3, 4])) is None
    assert find_vocabulary((), {}, none) is None
    assert run.open_tables(run_dir).vocabulary == "financial"


def test_statistics_are_declared_without_what_says_nothing(run_dir):
    assert "mass_first_token" not in declared_statistics(run.open_tables(run_dir))


def test_samples_without_a_cluster_stand_alone(copied):
    edit_table(copied, "samples", lambda frame: frame.with_columns(cluster=pl.lit(None, dtype=pl.String)))
    assert len(set(clusters.cluster_codes(run.open_tables(copied), "cluster"))) == 24
    with pytest.raises(SettingsError, match="cluster_by"):
        clusters.cluster_codes(run.open_tables(copied), "company")


def test_values_over_a_baseline_of_nothing_are_unknown():
    found = lifts.over_baseline(np.array([[[0.2, 0.3]], [[0.1, 0.4]]]), np.array([[0.1], [0.0]]))
    assert found[0, 0].tolist() == pytest.approx([2.0, 3.0]) and np.isnan(found[1]).all()


def test_a_run_of_one_head_has_a_mean_per_layer(tmp_path):
    tables = run.open_tables(write_run(tmp_path / "one", num_samples=6, num_layers=3, num_heads=1))
    means = runs_values.head_means(tables).filter(query_group="all")
    assert means.select("layer", "head").rows() == [(0, 0), (1, 0), (2, 0)]
    rows = tables.head_stats.collect().filter(query_group="all")
    for layer, mean in means.select("layer", "mass_time").rows():
        assert mean == pytest.approx(rows.filter(layer=layer)["mass_time"].mean(), rel=1e-6)


def contrast_of(named, *pairs):
    samples = pl.DataFrame({"contrast": pairs}, schema={"contrast": pl.String}) if pairs else pl.DataFrame({"x": [1]})
    return labels.contrast_text(SimpleNamespace(section=lambda _name: {"contrast": named}, samples=samples))


def test_the_contrast_of_margins_is_said_as_it_was_made():
    """Two labels by name where every sample compares these; else the rule, with the pairs that it found."""
    assert contrast_of(["up", "down", "level"]) == contrast_of(["up", "down"], None, "up|down") == "up against down"
    rule = contrast_of("said_vs_actual")
    assert contrast_of("said_vs_actual", "b|a", "a|b", "a|b", None) == f"{rule} (a|b, b|a)"
    many = contrast_of("said_vs_actual", "a|b", "a|b", "a|c", "a|c", "a|d", "a|d", "a|e")
    assert many.startswith(f"{rule} (") and many.endswith(" and others)") and "a|e" not in many
    assert contrast_of(["up", "down"], "up|level") != "up against down"
