"""Causal units of whole runs: the planted model's known causes, resume, verification, bad input."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
import torch
import yaml

from engine.errors import RunFailedError
from engine.run import main
from engine.schema import CAUSAL_TABLES, causal_schema
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import verify
from tests.fixtures import planted

CAUSAL = {
    "attribution": {},
    "attention_gradient": {},
    "ablation": {"replace": "zero"},
    "amplification": {"heads": [[1, 1], [0, 0]], "factors": [0.5, 1.0, 2.0]},
    "knockout": {"window": 1},
}
TABLES = [name for name in CAUSAL_TABLES if name not in ("patching", "matched_patching", "edges", "circuit_curves")]
VERDICT = planted.HEADS["verdict"]


def with_causal(path, name, **causal):
    """Write a config beside another one, with a causal section."""
    tree = yaml.safe_load(path.read_text())
    tree["run"]["name"], tree["causal"] = name, causal
    other = path.with_name(f"{name}.yaml")
    other.write_text(yaml.safe_dump(tree))
    return other


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return planted.write_config(tmp_path_factory.mktemp("planted-causal"), count=12)


@pytest.fixture(scope="module")
def run(config):
    path = with_causal(config, "full", **CAUSAL)
    assert main([str(path), "--stage", "collect"]) == 0
    return path.parent / "runs" / "full"


def table(run, name):
    return pl.read_parquet(run / "shards" / "causal-*" / f"{name}.parquet")


def test_every_id_is_in_one_unit_of_each_kind(run):
    summary = verify(RunDirectory(run))
    assert (summary["units"], summary["causal_units"], summary["causal_samples"]) == (2, 2, 12)
    groups = json.loads((run / "plan.json").read_text())["key_groups"]
    for name in TABLES:
        frame = table(run, name)
        assert frame["sample_id"].n_unique() == 12
        assert frame.columns == causal_schema(name, groups).names
    assert sorted(f.name for f in (run / "shards").iterdir()) == [
        "causal-00000",
        "causal-00001",
        "measure-00000",
        "measure-00001",
    ]


def test_the_deciding_head_adds_all_of_the_logit_difference(run):
    samples = dict(
        pl.read_parquet(run / "shards" / "*" / "samples.parquet").select("sample_id", "logit_difference").iter_rows()
    )
    heads, parts = table(run, "attributions"), table(run, "sample_attributions")
    sums = pl.concat([heads.select("sample_id", value="dla"), parts.select("sample_id", "value")])
    for sample_id, total in sums.group_by("sample_id").agg(pl.col("value").sum()).iter_rows():
        assert total == pytest.approx(samples[sample_id], abs=1e-5)
    is_verdict = (pl.col("layer") == VERDICT[0]) & (pl.col("head") == VERDICT[1])
    for sample_id, dla in heads.filter(is_verdict).select("sample_id", "dla").iter_rows():
        assert dla == pytest.approx(samples[sample_id], rel=1e-5)
    assert heads.filter(~is_verdict)["dla"].abs().max() < 1e-6


def test_ablating_the_deciding_head_leaves_no_difference_and_its_neighbours_nothing_to_lose(run):
    frame = table(run, "interventions").filter(kind="ablation")
    assert frame.height == 12 * 2 * 6
    own = frame.filter(layer=VERDICT[0], head=VERDICT[1])
    assert own["logit_difference"].abs().max() < 1e-6 and own["change"].abs().min() > 1
    others = frame.filter((pl.col("layer") != VERDICT[0]) | (pl.col("head") != VERDICT[1]))
    # Only the previous-token head writes into the residual stream; without it the norm shrinks, and s grows a little.
    assert others.filter((pl.col("layer") != 0) | (pl.col("head") != 0))["change"].abs().max() < 1e-6
    assert not others["is_flipped"].any()


def test_amplification_follows_the_factor(run):
    frame = table(run, "interventions").filter(kind="amplification", layer=VERDICT[0], head=VERDICT[1])
    by_factor = {factor: part for (factor,), part in frame.group_by("factor")}
    assert (by_factor[1.0]["change"] == 0).all()
    assert (by_factor[2.0]["change"] * by_factor[2.0]["logit_difference"].sign() > 0.5).all()
    assert (by_factor[0.5]["change"] * by_factor[0.5]["logit_difference"].sign() < -0.4).all()


def test_the_knockout_curve_drops_at_the_deciding_layer(run):
    frame = table(run, "knockouts")
    assert set(frame.select("first_layer", "last_layer").unique().iter_rows()) == {(0, 0), (1, 1)}
    # Without the verdict the head sees only tokens that say "fell": s turns round where it said "rose", else it stays.
    drop = frame.filter(key_group="verdict", first_layer=VERDICT[0]).with_columns(
        before=pl.col("logit_difference") - pl.col("change")
    )
    rose, fell = drop.filter(pl.col("before") > 0), drop.filter(pl.col("before") < 0)
    assert rose.height == fell.height == 6
    assert (rose["change"] + 2 * rose["before"]).abs().max() < 1e-5 and rose["is_flipped"].all()
    assert fell["change"].abs().max() < 1e-5 and not fell["is_flipped"].any()
    assert frame.filter(key_group="verdict", first_layer=0)["change"].abs().max() < 1e-6
    assert frame.filter(key_group="theme")["change"].abs().max() < 1e-6


def test_attention_gradients_and_head_gradients_agree(run):
    frame = table(run, "attributions")
    own = frame.filter(layer=VERDICT[0], head=VERDICT[1])
    # The verdict head reads the verdict and nothing else.
    assert (own["attention_gradient_verdict"] - own["head_gradient"]).abs().max() < 1e-5
    assert own["attention_gradient_theme"].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("ablation", "num_rows", "change"),
    [
        ({"replace": "mean", "rows": "all"}, 12, "partly"),
        ({"replace": "mean", "rows": "decision", "unit": "kv_group"}, 12, "partly"),
        ({"replace": "resample", "rows": "decision"}, 12, "some"),
        ({"replace": "resample", "unit": "layer"}, 2, "some"),
        ({"heads": [[1, 1], [0, 3]], "unit": "set", "rows": "decision"}, 1, "all"),
        ({"heads": {"top": 1}}, 2, "all"),
    ],
)
def test_kinds_of_ablation(config, ablation, num_rows, change):
    path = with_causal(config, "kind", ablation=ablation, max_samples=8)
    assert main([str(path), "--fresh", "--stage", "collect"]) == 0
    frame = table(path.parent / "runs" / "kind", "interventions")
    assert frame.height == 8 * num_rows and frame["sample_id"].n_unique() == 8
    assert set(frame["unit"]) == {ablation.get("unit", "head")}
    verdict = frame.filter(pl.col("members").list.contains(f"{VERDICT[0]}.{VERDICT[1]}"))
    sizes = verdict["change"].abs()
    assert verdict.height == 8
    assert sizes.min() > 1 if change == "all" else sizes.max() > 1
    if change == "partly":  # the mean is one and the same for all samples, so nothing of their difference is left
        assert verdict["logit_difference"].max() - verdict["logit_difference"].min() < 1e-4


def test_a_lost_causal_unit_is_explained_again_with_the_same_bits(config):
    path = with_causal(config, "again", ablation={"replace": "mean"}, attribution={})
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "again"
    before = table(run, "interventions")
    measured = (run / "shards" / "measure-00000" / "manifest.json").read_text()
    shutil.rmtree(run / "shards" / "causal-00001")
    (run / "_SUCCESS").unlink()
    (run / "shards" / "causal-00000" / "interventions.parquet").write_bytes(b"broken")
    with pytest.raises(RunFailedError, match=r"causal-00000: interventions\.parquet is damaged"):
        verify(RunDirectory(run))
    assert main([str(path), "--stage", "collect"]) == 0
    assert table(run, "interventions").equals(before)
    assert (run / "shards" / "measure-00000" / "manifest.json").read_text() == measured
    assert len(list((run / "quarantine").iterdir())) == 1
    (run / "plan" / "head_means.parquet").write_bytes(b"broken")
    with pytest.raises(RunFailedError, match=r"head_means\.parquet: is missing or damaged"):
        verify(RunDirectory(run))


def test_a_sample_that_does_not_fit_is_rejected_alone(config, monkeypatch):
    from engine.interventions.sweeps import Sweep

    run_elements = Sweep._differences

    def small(self, elements, like):
        if self.kept.num_tokens == longest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_elements(self, elements, like)

    path = with_causal(config, "memory", ablation={"heads": [[0, 0], [0, 1]]})
    from engine.encoding.encoded_files import read_batches

    encoded = [
        s
        for unit in ("measure-00000", "measure-00001")
        for batch in read_batches(path.parent / "runs" / "full" / "plan" / "encoded" / f"{unit}.parquet")
        for s in batch
    ]
    longest = max(s.decision_position + 1 for s in encoded)
    expected = {s.sample_id for s in encoded if s.decision_position + 1 == longest}
    monkeypatch.setattr(Sweep, "_differences", small)
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "memory"
    rejects = pl.read_parquet(run / "rejects.parquet")
    assert set(rejects["sample_id"]) == expected and set(rejects["stage"]) == {"causal"}
    assert set(rejects["reason"]) == {"out_of_memory"}
    assert not set(table(run, "interventions")["sample_id"]) & expected
    assert verify(RunDirectory(run))["samples"] == 12


@pytest.mark.parametrize(
    ("causal", "words"),
    [
        ({"ablation": {"heads": [[0, 0], [1, 1], [31, 0]]}},
         ["causal.ablation.heads[2]: layer 31 is outside 0..1 for this model (2 layers)"]),
        ({"amplification": {"heads": [[1, 6]]}},
         ["causal.amplification.heads[0]: head 6 is outside 0..5 for this model (6 heads)"]),
        ({"knockout": {"key_groups": ["theme", "verdicts"]}},
         ["causal.knockout.key_groups[1]: 'verdicts' is no key group", "verdict"]),
        ({"ablation": {"replace": "resample"}, "max_samples": 1}, ["there is only one"]),
    ],
)  # fmt: skip
def test_what_the_run_does_not_have_is_refused(config, capsys, causal, words):
    path = with_causal(config, "refused", **causal)
    assert main([str(path), "--fresh", "--stage", "collect"]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message


@pytest.mark.soak
def test_replicas_over_ray_write_the_same_tables(config, run):
    path = with_causal(config, "ray", **CAUSAL)
    assert main([str(path), "cluster.mode=local", "cluster.replicas=1", "--stage", "collect"]) == 0
    for name in TABLES:
        assert table(path.parent / "runs" / "ray", name).equals(table(run, name))
