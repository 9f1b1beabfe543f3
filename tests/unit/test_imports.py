"""The import rules of the architecture, kept true by walking the source."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

RAY_FILES = {"engine/cluster.py"}
TRANSFORMERS_ATTENTION_FILES = {"engine/attention/interface.py"}
TRITON_FILES = {"engine/attention/fused.py", "engine/attention/fused_kernels.py"}
FORBIDDEN_IN_ANALYSES = {"torch", "ray", "transformers", "accelerate"}


def imports_of(path):
    """Return the dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


FILES = sorted(p for package in ("engine", "analyses") for p in (ROOT / package).rglob("*.py"))
BY_NAME = {str(path.relative_to(ROOT)): imports_of(path) for path in FILES}


def test_the_walk_sees_the_packages():
    assert "engine/run.py" in BY_NAME and "analyses/report.py" in BY_NAME
    assert "ray" in BY_NAME["engine/cluster.py"]


@pytest.mark.parametrize("name", BY_NAME)
def test_only_the_composition_root_joins_engine_and_analyses(name):
    engine = {n for n in BY_NAME[name] if n.split(".")[0] == "engine"}
    if name.startswith("analyses/"):
        assert all(n == "engine" or n.startswith("engine.schema") for n in engine)
        assert not {n.split(".")[0] for n in BY_NAME[name]} & FORBIDDEN_IN_ANALYSES
    elif name != "engine/run.py" and not name.startswith("engine/notebook/"):
        assert not any(n.split(".")[0] == "analyses" for n in BY_NAME[name])


@pytest.mark.parametrize("name", BY_NAME)
def test_one_place_per_foreign_concern(name):
    roots = {n.split(".")[0] for n in BY_NAME[name]}
    assert ("ray" in roots) <= (name in RAY_FILES)
    assert ("altair" in roots) <= name.startswith("analyses/charts")
    attention = {n for n in BY_NAME[name] if "AttentionInterface" in n or "AttentionMaskInterface" in n}
    assert bool(attention) <= (name in TRANSFORMERS_ATTENTION_FILES)
    assert ("triton" in roots) <= (name in TRITON_FILES)


MAY_IMPORT = {
    "engine/schema.py": set(),
    "engine/errors.py": set(),
    "engine/tolerances.py": set(),
    "engine/samples.py": set(),
    "engine/config_section.py": set(),
    "engine/causal_settings.py": {"config_section"},
    "engine/config.py": {"causal_settings", "config_section"},
    "engine/schema_causal.py": {"schema"},
    "engine/old_config.py": set(),
    "engine/config_file.py": {"config", "errors", "old_config"},
    "engine/transcripts.py": {"samples"},
    "engine/labels.py": set(),
    "engine/record_files.py": {"errors"},
    "engine/json_rows.py": {"record_files"},
    "engine/json_list.py": {"errors", "json_rows", "record_files"},
    "engine/csv_rows.py": {"errors", "json_rows", "record_files"},
    "engine/records.py": {"csv_rows", "errors", "json_list", "json_rows", "record_files"},
    "engine/printed_numbers.py": set(),
    "engine/printed_periods.py": {"printed_numbers"},
    "engine/table_rows.py": set(),
    "engine/statement_tables.py": set(),
    "engine/statements.py": {"printed_numbers", "printed_periods", "statement_tables", "table_rows"},
    "engine/selection.py": {"config", "samples"},
    "engine/answer_fields.py": {"labels"},
    "engine/rows.py": {"answer_fields", "config", "labels", "records", "samples", "selection", "transcripts"},
    "engine/predictions.py": {"config", "errors", "records", "rows", "samples", "selection"},
    "engine/lent_models.py": set(),
    "engine/tokenizer.py": {"config", "errors", "lent_models"},
    "engine/random_vocabulary.py": set(),
    "engine/token_groups.py": {"config", "errors", "random_vocabulary", "samples", "schema", "statements"},
    "engine/encoding.py": {"config", "samples", "statements", "token_groups", "tokenizer"},
    "engine/encoded_units.py": {"samples"},
    "engine/attention/matches.py": set(),
    "engine/attention/reductions.py": {"attention", "samples", "schema"},
    "engine/attention/row_statistics.py": {"attention"},
    "engine/attention/blocked.py": {"attention"},
    "engine/attention/fused_kernels.py": {"attention"},
    "engine/attention/fused.py": {"attention"},
    "engine/attention/tile_kernel.py": set(),
    "engine/attention/tiled.py": {"attention"},
    "engine/attention/backends.py": {"attention", "errors"},
    "engine/attention/interface.py": {"attention", "dispatched"},
    "engine/attention/patterns.py": {"attention"},
    "engine/attention/causal.py": {"attention"},
    "engine/dispatched.py": set(),
    "engine/machine.py": {"config"},
    "engine/downloads.py": {"config", "lease"},
    "engine/loading.py": {"config", "downloads", "errors", "lent_models", "machine"},
    "engine/probe.py": {"attention", "dispatched"},
    "engine/decoder.py": {"attention", "dispatched", "probe"},
    "engine/attribution.py": {"attention", "decoder", "dispatched"},
    "engine/interventions.py": {"attention", "decoder"},
    "engine/sweeps.py": {"attention", "decoder", "dispatched", "interventions"},
    "engine/causal_targets.py": {"causal_settings"},
    "engine/counterfactuals.py": {"causal_settings", "printed_numbers", "samples", "statements"},
    "engine/causal_tables.py": {"attribution", "samples", "schema_causal", "sweeps"},
    "engine/causal.py": {
        "attention",
        "attribution",
        "causal_settings",
        "causal_tables",
        "causal_targets",
        "counterfactuals",
        "decoder",
        "interventions",
        "probe",
        "samples",
        "sweeps",
        "tolerances",
    },
    "engine/causal_work.py": {
        "attention",
        "attribution",
        "causal",
        "causal_settings",
        "device_faults",
        "errors",
        "samples",
        "schema_causal",
        "unit_results",
    },
    "engine/unit_results.py": {"device_faults", "samples", "tables"},
    "engine/causal_plan.py": {"config", "errors", "selection", "store"},
    "engine/attention/rollout.py": {"attention"},
    "engine/decision_tables.py": {"attention", "samples"},
    "engine/tables.py": {"attention", "config", "decision_tables", "probe", "samples", "schema", "tolerances"},
    "engine/generation_knockouts.py": {"attention", "decoder", "interventions"},
    "engine/generation.py": {
        "config",
        "decoder",
        "device_faults",
        "dispatched",
        "generation_knockouts",
        "interventions",
        "samples",
    },
    "engine/replica.py": {
        "attention",
        "attribution",
        "causal",
        "config",
        "decoder",
        "device_faults",
        "dispatched",
        "errors",
        "generation",
        "interventions",
        "loading",
        "probe",
        "samples",
        "tables",
        "tokenizer",
        "tolerances",
        "unit_results",
    },
    "engine/plan.py": {"causal_settings", "config", "machine", "samples"},
    "engine/plan_checks.py": {"config", "errors", "plan"},
    "engine/plan_text.py": {"config", "machine"},
    "engine/rates.py": {"config", "errors", "machine", "plan", "store"},
    "engine/atomic_files.py": set(),
    "engine/store.py": {"atomic_files", "errors", "samples", "schema"},
    "engine/verification.py": {"errors", "schema", "schema_causal", "store"},
    "engine/run_summary.py": {"store"},
    "engine/lease.py": {"errors"},
    "engine/stopping.py": set(),
    "engine/attempts.py": {"atomic_files", "errors"},
    "engine/device_faults.py": {"errors"},
    "engine/worker.py": {
        "atomic_files",
        "attempts",
        "causal",
        "causal_work",
        "config",
        "encoded_units",
        "errors",
        "replica",
        "samples",
        "store",
        "unit_results",
    },
    "engine/progress.py": {"errors", "store"},
    "engine/cluster.py": {"config", "errors", "machine", "worker"},
    "engine/ray_process.py": {"config", "errors", "machine", "store"},
    "engine/collect.py": {
        "causal_plan",
        "config",
        "errors",
        "progress",
        "ray_process",
        "stopping",
        "store",
        "verification",
        "worker",
    },
}


@pytest.mark.parametrize("name", [name for name in BY_NAME if not name.startswith("engine/notebook/")])
def test_nothing_rests_on_the_notebook(name):
    assert not any(n.startswith("engine.notebook") for n in BY_NAME[name])


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_data_flows_one_way(name):
    used = {n.split(".")[1] for n in BY_NAME[name] if n.startswith("engine.") and len(n.split(".")) > 1}
    assert used <= MAY_IMPORT[name], f"{name} may not import {used - MAY_IMPORT[name]}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("engine.schema", ["torch", "transformers", "ray", "polars"]),
        ("analyses", ["torch", "ray", "polars"]),
        ("analyses.report", ["torch", "ray", "transformers"]),
        ("engine.replica", ["ray", "polars"]),
        ("engine.planning", ["ray", "polars"]),
    ],
)
def test_light_modules_load_nothing_heavy(module, absent):
    code = f"import {module}, sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
