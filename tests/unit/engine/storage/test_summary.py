"""What a finished run says of itself."""

import json

from engine.run import main
from engine.samples import Reject
from engine.schema import layout
from engine.schema.manifests import manifest_digest
from engine.storage.planned.units import PlannedUnit
from engine.storage.rejects import write_rejects
from engine.storage.run_directory import RunDirectory
from engine.storage.summary import run_lines


def lines(root):
    return {line.strip().split("  ")[0]: line for line in run_lines(RunDirectory(root))}


def test_samples_with_attributions_are_counted_and_a_reason_is_said(config_file, tmp_path):
    assert main([str(config_file), "--stage", "collect"]) == 0
    root = tmp_path / "runs" / "test"
    assert lines(root)["samples with attributions"].endswith(" 12")
    for path in root.glob("shards/*/manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["facts"] |= {"num_attributed": 0, "why_unattributed": "OPT's parts are not known"}
        path.write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    assert lines(root)["samples with attributions"].endswith(" 0; OPT's parts are not known")


def committed(tmp_path, *facts):
    """A published run of units with some facts, one sample and one reject of ten tokens each."""
    run_dir = RunDirectory(tmp_path / "run")
    run_dir.start()
    units = [PlannedUnit(f"measure-{number:05d}", [f"s{number}", f"r{number}"]) for number in range(len(facts))]
    for unit, own in zip(units, facts, strict=True):
        sample, reject = unit.sample_ids
        rejects = [Reject(reject, "measure", "too_long", "why")]
        run_dir.ledger.commit(unit.name, [sample], {}, rejects, {"num_tokens": 10, **own})
    write_rejects(
        run_dir.root / layout.PLAN_REJECTS,
        [Reject("p", "plan", "no_label", "why"), Reject("q", "plan", "no_label", "why")],
    )
    run_dir.plan.write_units(units)
    return {line.strip().split("  ")[0]: line.split("  ")[-1].strip() for line in run_lines(run_dir)}


def test_the_summary_is_that_of_all_units(tmp_path):
    found = committed(
        tmp_path,
        {"measure_seconds": 1.0, "peak_memory_bytes": 2**20, "num_deaths": 2, "divided_sample_ids": ["s0"]},
        {"measure_seconds": 4.0, "peak_memory_bytes": 3 * 2**20, "divided_sample_ids": ["s0", "s1"]},
        {"measure_seconds": 2.0},
    )
    assert found["shards"] == "3, holding 3 samples"
    assert found["rejects"] == "too_long 3, no_label 2"
    assert found["tokens"] == "30" and found["tokens/s of a replica"] == "4"
    assert found["seconds per shard"] == "median 2.00, longest 4.00"
    assert found["peak memory of a replica"] == "3 MiB"
    assert found["sudden deaths of replicas"] == "2"
    assert found["measured in smaller batches"] == "2 samples (equal within rounding)"
    assert "samples with attributions" not in found, "units of a version that knew none"


def test_what_is_not_known_is_called_so(tmp_path):
    found = committed(tmp_path, {})
    names = ("seconds per shard", "tokens/s of a replica", "peak memory of a replica")
    assert {found[name] for name in names} == {"unknown"}
    assert (found["sudden deaths of replicas"], found["measured in smaller batches"]) == ("0", "none")
