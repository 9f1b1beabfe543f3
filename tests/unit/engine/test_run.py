"""The command line: stages, exit codes, and one clear paragraph for every mistake a user can make."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from engine.run import main
from engine.schema import MEASURE_TABLES, table_schema
from engine.storage.run_directory import RunDirectory
from tests.fixtures.places import ROOT, SHARED, needs_shared
from tests.fixtures.predictions import record, records


def run_dir(config_file):
    return config_file.parent / "runs" / "test"


def refused(capsys, arguments, code, *words):
    """Run the command line, expect an exit code, and return the one paragraph on stderr."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == code
    message = capsys.readouterr().err.strip()
    assert message and "\n" not in message and "Traceback" not in message
    for word in words:
        assert word in message, message
    return message


def test_one_command_from_predictions_to_report(config_file, capsys):
    assert main([str(config_file)]) == 0
    run = run_dir(config_file)
    assert f"Report: {run / 'analysis' / 'report.html'}" in capsys.readouterr().out
    for name in ("plan.json", "run.yaml", "rejects.parquet", "progress.json", "_SUCCESS"):
        assert (run / name).is_file(), name
    assert pl.scan_parquet(run / "shards" / "*" / "head_stats.parquet").collect().height == 12 * 3 * 2 * 4
    assert main([str(config_file), "--stage", "verify"]) == 0
    assert not list((run / "incoming").iterdir()) and not list(run.parent.glob(".*.lease"))


def test_every_table_has_its_exact_schema(config_file):
    assert main([str(config_file), "--stage", "collect"]) == 0
    groups = json.loads((run_dir(config_file) / "plan.json").read_text())["key_groups"]
    for unit in (run_dir(config_file) / "shards").iterdir():
        for name in (*MEASURE_TABLES, "rejects"):
            assert pq.read_schema(unit / f"{name}.parquet").equals(table_schema(name, groups), check_metadata=True), (
                name
            )


def test_plan_is_a_dry_run(config_file, tiny_model_dir, tmp_path, capsys):
    """No weights are needed; the plan says what a run would do."""
    bare = tmp_path / "config-only"
    shutil.copytree(tiny_model_dir, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    assert main([str(config_file), f"model.path={bare}", "--stage", "plan"]) == 0
    plan = json.loads((run_dir(config_file) / "plan.json").read_text())
    assert (plan["num_rows"], plan["num_samples"], plan["num_rejects"], plan["num_shards"]) == (12, 12, 0, 3)
    assert plan["samples_by_label_source"] == {"field": 12} and plan["num_tokens"] > 1000
    assert plan["predicted_memory_bytes"] > 0 and plan["predicted_disk_bytes"] > 0
    printed = capsys.readouterr().out
    assert "decision positions found         12" in printed and "2 layers x 4 heads" in printed
    assert not list((run_dir(config_file) / "shards").iterdir())


def test_a_plan_without_a_reachable_model_says_so(config_file, tiny_model_dir, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    overrides = ["model.path=nobody/no-such-model", f"model.tokenizer={tiny_model_dir}"]
    assert main([str(config_file), *overrides, "--stage", "plan"]) == 0
    assert "no model config could be read from 'nobody/no-such-model'" in capsys.readouterr().err
    plan = json.loads((run_dir(config_file) / "plan.json").read_text())
    assert plan["predicted_memory_bytes"] is None and plan["num_samples"] == 12


def test_the_plan_says_which_of_three_labels_are_contrasted(config_file, capsys):
    labels = "decision.labels=[increase,decrease,unchanged]"
    assert main([str(config_file), labels, "--stage", "plan"]) == 0
    assert "alone" not in capsys.readouterr().out, "each is compared with the likeliest other"
    assert main([str(config_file), labels, "decision.contrast=[increase,decrease]", "--stage", "plan", "--fresh"]) == 0
    assert "compare 'increase' with 'decrease' alone" in " ".join(capsys.readouterr().out.split())


@needs_shared
def test_the_full_config_plans_the_real_records_without_weights(tmp_path, capsys):
    arguments = [
        str(ROOT / "config" / "full.yaml"),
        "--stage",
        "plan",
        f"run.output={tmp_path}",
        "--predictions",
        str(SHARED / "data" / "predictions_checkpoint_sample.json"),
        f"model.tokenizer={SHARED / 'data' / 'qwen2-tokenizer'}",
        f"vocabulary={ROOT / 'config' / 'vocabulary' / 'financial.yaml'}",
    ]
    assert main(arguments) == 0
    plan = json.loads((tmp_path / "qwen2-7b-eps" / "plan.json").read_text())
    assert plan["samples_by_label_source"] == {"field": 1, "repaired_json": 1} and plan["num_tokens"] > 5000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no such file", "predictions.path"]),
        ("[{", ["not valid JSON"]),
        ("[]", ["holds no prediction"]),
        (json.dumps([*records(3), records(1)[0]]), ["sample id", "'1000-1990'"]),
        (
            json.dumps([{"company_id": 1, "year": 1, "full_model_response": "user\nq\nassistant\nno idea"}]),
            ["no_label"],
        ),
    ],
)
def test_unusable_predictions_exit_3(config_file, predictions_file, capsys, content, words):
    predictions_file.unlink()
    if content is not None:
        predictions_file.write_text(content)
    refused(capsys, [config_file], 3, str(predictions_file), *words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("cluster.token_per_batch=5", ["did you mean cluster.tokens_per_batch"]),
        ("statistics.patterns={samples: [1000-1990], layers: [31], heads: [0]}",
         ["statistics.patterns.layers[0]: layer 31 is outside 0..1 for this model (2 layers)"]),
        ("statistics.patterns={samples: [1000-1990], layers: [0], heads: [1, 4]}",
         ["statistics.patterns.heads[1]: head 4 is outside 0..3"]),
        ("statistics.patterns={samples: [nobody], layers: [0], heads: [0]}", ["no sample 'nobody'"]),
        ("statistics.patterns={samples: [1000-1990], layers: [0], heads: [0], max_bytes: 10}", ["max_bytes allows 10"]),
        ("statistics.query_groups=[all, sums]", ["'sums' is unknown"]),
        ("key_groups={a: {vocabulary: [gold]}}", ["'gold' is not a category"]),
        ("model.device=cuda", ["'cuda' is not available"]),
        ("model.attention=fused", ["'fused' cannot run here", "Allowed are auto, blocked and fused"]),
        ("vocabulary=none.yaml", ["none.yaml: no such file"]),
    ],
)  # fmt: skip
def test_unusable_settings_exit_2(config_file, capsys, override, words):
    refused(capsys, [config_file, override], 2, *words)


def test_usage(capsys):
    refused(capsys, [], 2, "Give one config file")
    with pytest.raises(SystemExit) as caught:
        main(["--stage", "everything"])
    assert caught.value.code == 2


def test_a_model_folder_without_weights(config_file, tiny_model_dir, tmp_path, capsys):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model_dir, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    refused(capsys, [config_file, f"model.path={bare}"], 2, "no weights", "*.safetensors", str(bare))


def test_a_damaged_model_fails_fast(config_file, tiny_model_dir, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model_dir, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(capsys, [config_file, f"model.path={damaged}"], 2, "could not be loaded", str(damaged))
    assert not (run_dir(config_file) / "_SUCCESS").exists()


def test_samples_longer_than_the_context_become_rejects(config_file, predictions_file, capsys):
    rows = records(4)
    rows[1]["full_model_response"] += " and" * 2000
    predictions_file.write_text(json.dumps(rows))
    assert main([str(config_file), "--stage", "collect"]) == 0
    rejects = pl.read_parquet(run_dir(config_file) / "rejects.parquet")
    assert rejects["sample_id"].to_list() == ["1000-1991"] and rejects["reason"].to_list() == ["longer_than_context"]
    samples = pl.read_parquet(run_dir(config_file) / "shards" / "*" / "samples.parquet")
    assert sorted(samples["sample_id"]) == ["1000-1990", "1001-1990", "1001-1991"]


def test_nothing_fits_the_context(config_file, predictions_file, capsys):
    rows = records(2)
    for row in rows:
        row["full_model_response"] += " and" * 2000
    predictions_file.write_text(json.dumps(rows))
    refused(capsys, [config_file], 3, "no sample can be measured", "longer_than_context")


def test_one_label_only_is_measured_and_said(config_file, predictions_file, capsys):
    rng = random.Random(0)
    rows = [{**record(i, rng, "increase"), "actual_label": "increase"} for i in range(6)]
    predictions_file.write_text(json.dumps(rows))
    assert main([str(config_file)]) == 0
    printed = capsys.readouterr().out
    assert "All 6 predictions are right: correct and incorrect cannot be compared." in printed
    assert "All 6 rows predict 'increase'" in printed
    assert (run_dir(config_file) / "analysis" / "report.html").is_file()


def test_another_config_or_input_in_an_existing_run_is_refused(config_file, predictions_file, capsys):
    assert main([str(config_file), "--stage", "collect"]) == 0
    before = {path: path.read_bytes() for path in run_dir(config_file).rglob("*.parquet")}
    refused(capsys, [config_file, "statistics.top_keys=3"], 2, "statistics.top_keys (10 -> 3)", "--fresh", "run.name")
    predictions_file.write_text(json.dumps(records(11)))
    refused(capsys, [config_file], 2, "another input")
    assert {path: path.read_bytes() for path in run_dir(config_file).rglob("*.parquet")} == before
    assert main([str(config_file), "--stage", "collect", "--fresh"]) == 0
    aside = run_dir(config_file).with_name("test.previous-1")
    assert all((aside / path.relative_to(run_dir(config_file))).read_bytes() == data for path, data in before.items())


def test_analysis_settings_may_change_in_an_existing_run(config_file):
    assert main([str(config_file), "--stage", "collect"]) == 0
    assert main([str(config_file), "analysis.correction=holm"]) == 0
    assert yaml.safe_load((run_dir(config_file) / "run.yaml").read_text())["config"]["analysis"]["correction"] == "holm"


def test_analyze_takes_its_settings_from_the_config_and_refuses_others(config_file, capsys):
    assert main([str(config_file), "--stage", "collect"]) == 0
    assert main([str(config_file), "--stage", "analyze", "analysis.alpha=0.2"]) == 0
    run = run_dir(config_file)
    assert yaml.safe_load((run / "run.yaml").read_text())["config"]["analysis"]["alpha"] == 0.2
    assert "0.2" in (run / "analysis" / "analysis_summary_report.txt").read_text()
    refused(capsys, [config_file, "--stage", "analyze", "statistics.top_keys=2"], 2, "statistics.top_keys (10 -> 2)")
    refused(capsys, [config_file, "--stage", "analyze", "--fresh"], 2, "--fresh")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("analysis.covariates=[nope]", ["analysis.covariates[0]", "'nope'"]),
        ("analysis.cluster_by=firm", ["analysis.cluster_by", "'firm'"]),
        ("analysis.head_types={focussed: 1}", ["analysis.head_types", "focus"]),
        ("visualization.color_schemes={sequential: nope}", ["visualization.color_schemes", "'nope'"]),
    ],
)
def test_analysis_settings_are_checked_before_anything_is_measured(config_file, capsys, override, words):
    refused(capsys, [config_file, override], 2, *words)
    assert not run_dir(config_file).exists()


def test_fresh_sets_nothing_aside_before_all_is_well(config_file, predictions_file, capsys):
    assert main([str(config_file), "--stage", "collect"]) == 0
    predictions_file.unlink()
    refused(capsys, [config_file, "--fresh"], 3, "no such file")
    assert (run_dir(config_file) / "_SUCCESS").exists()


def test_success_is_collects_last_file(config_file):
    assert main([str(config_file), "--stage", "collect"]) == 0
    run = run_dir(config_file)
    last = (run / "_SUCCESS").stat().st_mtime_ns
    assert all(path.stat().st_mtime_ns <= last for path in run.rglob("*") if path.is_file())


def test_a_changed_vocabulary_is_noticed(config_file, tmp_path, capsys):
    vocabulary = tmp_path / "words.yaml"
    vocabulary.write_text("money: [profit, eps]")
    arguments = [config_file, f"vocabulary={vocabulary}", "--stage", "collect"]
    assert main([str(argument) for argument in arguments]) == 0
    vocabulary.write_text("money: [sales]")
    refused(capsys, arguments, 2, "another vocabulary")


def test_a_checkpoint_that_lacks_a_tensor_is_refused(config_file, tiny_model_dir, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    partial = tmp_path / "partial"
    shutil.copytree(tiny_model_dir, partial)
    tensors = load_file(partial / "model.safetensors")
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    save_file(tensors, partial / "model.safetensors", metadata={"format": "pt"})
    refused(capsys, [config_file, f"model.path={partial}"], 2, "lack 1 tensor", "layers.1.self_attn.q_proj.weight")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("prompt.chat_template=/nope/x.jinja", ["prompt.chat_template", "'/nope/x.jinja'"]),
        ("prompt.chat_template='{% if x %}'", ["prompt.chat_template", "not a valid Jinja template"]),
        ("vocabulary={number: [one]}", ["'number' is the name of a default key group"]),
        ("key_groups={duplicate: {regex: x}}", ["key_groups.duplicate", "taken by the baselines"]),
        ("causal={patching: {counterfactual: replace}}", ["causal.patching", "value is what `replace`"]),
        ("key_groups={a: {spans: rows}}", ["key_groups.a.spans", "'rows' is unknown", "line_item: Net Income"]),
        ("run.name=..", ["run.name"]),
    ],
)
def test_more_unusable_settings_exit_2(config_file, capsys, override, words):
    refused(capsys, [config_file, override], 2, *words)


def test_switched_off_keys_of_the_contract_may_stand(config_file):
    off = [
        "causal={max_samples: null}",
        "generation={enabled: false, max_new_tokens: 100, temperature: 0.7}",
        "run.name=7",
    ]
    assert main([str(config_file), *off, "--stage", "plan"]) == 0


def test_a_template_that_refuses_a_conversation_rejects_the_row(config_file, capsys):
    template = "prompt.chat_template=\"{{ raise_exception('no system role') }}\""
    refused(capsys, [config_file, template], 3, "template_refuses", "no system role")


def test_a_run_yaml_repeats_its_run(config_file, predictions_file, capsys):
    assert main([str(config_file), "--stage", "collect"]) == 0
    again = run_dir(config_file) / "run.yaml"
    assert main([str(again), "run.name=again", "--stage", "collect"]) == 0
    for table in ("samples", "head_stats", "baselines"):
        first, second = (
            pl.read_parquet(run_dir(config_file).with_name(name) / "shards" / "*" / f"{table}.parquet")
            for name in ("test", "again")
        )
        assert first.equals(second)
    predictions_file.write_text(json.dumps(records(11)))
    refused(capsys, [again, "run.name=third"], 2, "another input", "fingerprints differ")


def test_debug_runs_four_samples_and_never_mixes_with_a_real_run(config_file):
    run = run_dir(config_file)
    assert main([str(config_file), "--debug", "--stage", "collect"]) == 0
    assert pl.read_parquet(run / "shards" / "*" / "samples.parquet").height == 4
    assert main([str(config_file), "--stage", "collect"]) == 0
    assert pl.read_parquet(run / "shards" / "*" / "samples.parquet").height == 12
    assert (run.with_name("test.previous-1") / "_SUCCESS").exists()
    assert main([str(config_file), "--debug", "--stage", "collect"]) == 0
    assert pl.read_parquet(run / "shards" / "*" / "samples.parquet").height == 12
    assert pl.read_parquet(run.with_name("test-debug") / "shards" / "*" / "samples.parquet").height == 4


@pytest.mark.parametrize("asked", [["--max_samples", "6"], ["predictions.max_samples=6"]], ids=["option", "override"])
def test_debug_keeps_a_number_of_samples_that_is_asked_for(config_file, capsys, asked):
    assert main([str(config_file), "--debug", "--stage", "plan", *asked]) == 0
    assert "6 of 12, drawn with seed 0" in capsys.readouterr().out


def test_older_spellings_of_options(config_file, predictions_file):
    arguments = ["--config", str(config_file), "--max_samples", "3", "--predictions", str(predictions_file)]
    assert main([*arguments, "run.name=older", "--stage", "plan"]) == 0
    plan = RunDirectory(config_file.parent / "runs" / "older").plan.read()
    assert (plan.num_samples, plan.rejects_by_reason) == (3, {"not_selected": 9})


def test_stored_patterns_are_the_lower_triangle(config_file):
    wanted = "statistics.patterns={samples: [1000-1990], layers: [1], heads: [0, 3]}"
    assert main([str(config_file), wanted, "--stage", "collect"]) == 0
    run = run_dir(config_file)
    patterns = pl.read_parquet(run / "shards" / "*" / "patterns.parquet")
    assert patterns.select("sample_id", "layer", "head").rows() == [("1000-1990", 1, 0), ("1000-1990", 1, 3)]
    length = patterns["num_tokens"][0]
    assert patterns["pattern"].list.len().to_list() == [length * (length + 1) // 2] * 2
    diagonal = [sum(range(2, i + 2)) for i in range(length)]
    stats = pl.read_parquet(run / "shards" / "*" / "head_stats.parquet")
    stats = stats.filter(sample_id="1000-1990", layer=1, query_group="all", head=3)
    values = patterns["pattern"][1].to_list()
    assert sum(values[i] for i in diagonal) / length == pytest.approx(stats["diagonal"][0], abs=1e-3)


def test_optional_statistics_add_their_columns_and_tables(config_file):
    wanted = ["statistics.norm_weighted=true", "statistics.decision_rows=true", "statistics.rollout=true"]
    assert main([str(config_file), *wanted, "--stage", "collect"]) == 0
    run = run_dir(config_file)
    groups = json.loads((run / "plan.json").read_text())["key_groups"]
    unit = run / "shards" / "measure-00000"
    assert pq.read_schema(unit / "head_stats.parquet").equals(
        table_schema("head_stats", groups, True), check_metadata=True
    )
    rows = pl.read_parquet(unit / "decision_rows.parquet")
    samples = pl.read_parquet(unit / "samples.parquet").select("sample_id", "decision_position")
    joined = rows.join(samples, on="sample_id")
    assert (joined["pattern"].list.len() == joined["decision_position"] + 1).all()
    assert rows.filter(layer=1)["rollout"].list.sum().to_list() == pytest.approx([1.0] * 5, abs=1e-5)
    assert rows.filter(layer=0)["rollout"].null_count() == 5
    means = rows.filter(layer=1)["pattern"].list.sum().to_list()
    assert means == pytest.approx([1.0] * 5, abs=1e-5)


def test_decision_rows_head_by_head_for_named_samples(config_file, capsys):
    assert main([str(config_file), "statistics.decision_rows=[1001-1990]", "--stage", "collect"]) == 0
    unit = run_dir(config_file) / "shards" / "measure-00000"
    rows = pl.read_parquet(unit / "decision_head_rows.parquet")
    assert rows["sample_id"].unique().to_list() == ["1001-1990"] and rows.height == 2 * 4
    mean = (
        pl.read_parquet(unit / "decision_rows.parquet").filter(sample_id="1001-1990", layer=1)["pattern"][0].to_list()
    )
    heads = [part.to_list() for part in rows.filter(layer=1)["pattern"]]
    assert [sum(column) / 4 for column in zip(*heads, strict=True)] == pytest.approx(mean, abs=1e-6)
    top = pl.read_parquet(unit / "decision_top_keys.parquet").filter(sample_id="1001-1990", layer=1, head=2, rank=0)
    assert max(heads[2]) == pytest.approx(top["weight"][0]) and heads[2].index(max(heads[2])) == top["key_position"][0]
    refused(capsys, [config_file, "run.name=x", "statistics.decision_rows=[nobody]"], 2, "statistics.decision_rows[0]")


def test_verify_finds_what_is_damaged_and_a_new_start_mends_it(config_file, capsys):
    assert main([str(config_file), "--stage", "collect"]) == 0
    run = run_dir(config_file)
    whole = pl.read_parquet(run / "shards" / "*" / "head_stats.parquet")
    victim = run / "shards" / "measure-00001" / "head_stats.parquet"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    refused(capsys, [config_file, "--stage", "verify"], 1, "measure-00001: head_stats.parquet is damaged")
    shutil.rmtree(run / "shards" / "measure-00002")
    assert main([str(config_file), "--stage", "collect"]) == 0
    assert pl.read_parquet(run / "shards" / "*" / "head_stats.parquet").equals(whole)
    assert [folder.name.rpartition("-")[0] for folder in (run / "quarantine").iterdir()] == ["measure-00001"]


def test_a_failed_analysis_leaves_the_measurement(config_file, capsys, monkeypatch):
    assert main([str(config_file), "--stage", "collect"]) == 0
    shutil.rmtree(run_dir(config_file) / "shards" / "measure-00000")
    (run_dir(config_file) / "_SUCCESS").unlink()
    refused(capsys, [config_file, "--stage", "analyze"], 1, "_SUCCESS is missing")


@pytest.mark.parametrize("below", ["", "/a/b"])
def test_an_output_that_is_a_file_or_lies_in_one(config_file, tmp_path, capsys, below):
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    refused(capsys, [config_file, f"run.output={blocked}{below}"], 2, "run.output", str(blocked), "Give a folder")


def test_a_second_driver_is_refused(config_file, capsys):
    from engine.machine.lease import RunLease

    with RunLease(run_dir(config_file)):
        refused(capsys, [config_file, "--stage", "collect"], 1, "another process works in this run directory")


def test_errors_of_the_real_command_have_no_traceback(tmp_path):
    command = [sys.executable, "-m", "engine.run", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2 and done.stderr.strip().count("\n") == 0 and "no such config file" in done.stderr
