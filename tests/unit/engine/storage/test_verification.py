"""Advice that works when it is followed."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import RunFailedError
from engine.machine.atomic_files import file_facts, sha256
from engine.schema.manifests import manifest_digest
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import damage_of_causal_plan, verify
from tests.fixtures.places import ROOT


def test_a_folder_that_is_no_unit_is_to_be_moved_away(tmp_path):
    root = shutil.copytree(ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0", tmp_path / "run")
    run_dir = RunDirectory(root)
    counts = verify(run_dir)
    surplus = shutil.copytree(root / "shards" / "measure-00000", root / "shards" / "measure-00000 (copy)")
    with pytest.raises(RunFailedError, match=r"'measure-00000 \(copy\)' is not in the plan.*Move it out of") as refused:
        verify(run_dir)
    assert "command again" not in str(refused.value)
    for number in range(4):
        (surplus.parent / f"x{number}").mkdir()
    with pytest.raises(RunFailedError, match=r"'x3' is not in the plan"):
        verify(run_dir)
    for number in range(4, 6):
        (surplus.parent / f"x{number}").mkdir()
    with pytest.raises(RunFailedError, match=r"'x3' and 2 more is not in the plan"):
        verify(run_dir)
    surplus.rename(tmp_path / "elsewhere")
    for number in range(6):
        (root / "shards" / f"x{number}").rmdir()
    assert verify(run_dir) == counts
    (root / "plan.json").unlink()
    with pytest.raises(RunFailedError, match="holds no plan, so there is nothing to verify"):
        verify(run_dir)


def test_each_table_that_causal_units_share_is_compared_with_its_checksum():
    digests = {"donors": "a", "pairs": "b"}
    plan = SimpleNamespace(fingerprints=digests)
    tables = dict(digests)
    run_dir = SimpleNamespace(plan=SimpleNamespace(read_causal=lambda: plan, table_digest=tables.get))
    assert damage_of_causal_plan(run_dir, is_needed=True) == []
    tables["pairs"] = "c"
    damaged = ["plan/pairs.parquet: is missing or damaged (its checksum differs)"]
    assert damage_of_causal_plan(run_dir, is_needed=True) == damaged


def test_a_damaged_plan_is_to_be_brought_back(tmp_path):
    root = shutil.copytree(ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0", tmp_path / "run")
    units = root / "plan" / "units.json"
    whole = units.read_text()
    units.write_text(whole.replace("s7", "s8"))
    with pytest.raises(RunFailedError, match=r"plan/units\.json: is missing or damaged.*bring the file back"):
        verify(RunDirectory(root))
    units.write_text(whole)
    assert verify(RunDirectory(root))["samples"] == 8


@pytest.fixture
def run_dir(tmp_path):
    """A run of two units, the second of which is the first under other ids."""
    root = shutil.copytree(ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0", tmp_path / "run")
    (root / "_SUCCESS").unlink()
    run_dir = RunDirectory(root)
    (unit,) = run_dir.plan.units()
    shutil.copytree(root / "shards" / unit.name, root / "shards" / "measure-00001")
    names = {name: f"{name} again" for name in unit.sample_ids}
    edited(
        run_dir,
        "measure-00001",
        lambda content: content.update(
            unit="measure-00001",
            sample_ids=[names[name] for name in content["sample_ids"]],
            rejected_ids=[names[name] for name in content["rejected_ids"]],
        ),
        is_signed=True,
    )
    run_dir.plan.write_units([unit, replace(unit, name="measure-00001", sample_ids=list(names.values()))])
    plan = json.loads((root / "plan.json").read_text())
    plan["num_rows"] += len(names)
    plan["checksums"] = {name: sha256(root / name) for name in plan["checksums"]}
    plan.pop("digest", None)
    (root / "plan.json").write_text(json.dumps(plan))
    verify(run_dir)
    return run_dir


def edited(run_dir, unit, edit, **also):
    """Change a unit's manifest, if wanted with its checksum of itself."""
    path = run_dir.ledger.shards / unit / "manifest.json"
    content = json.loads(path.read_text())
    edit(content)
    if also.get("is_signed"):
        content["digest"] = manifest_digest(content)
    path.write_text(json.dumps(content))


def test_a_manifest_that_was_edited_commits_nothing(run_dir):
    unit, other = run_dir.plan.units()[:2]
    edited(run_dir, unit.name, lambda content: content["facts"].update(num_tokens=1))
    assert run_dir.ledger.manifest(unit.name) is None and run_dir.ledger.manifest(other.name) is not None
    assert unit.name not in run_dir.ledger.committed()
    with pytest.raises(RunFailedError, match=rf"{unit.name}: its manifest.json is missing or damaged"):
        verify(run_dir)
    assert run_dir.missing_units(run_dir.plan.units()) == [unit]
    assert [path.name.startswith(unit.name) for path in run_dir.ledger.quarantine.iterdir()] == [True]


@pytest.mark.parametrize("number", [0, 1], ids=["the first file of a table", "a later one"])
def test_a_file_of_another_schema_is_found_though_its_manifest_fits(run_dir, number):
    unit = run_dir.plan.units()[number].name
    file = run_dir.ledger.shards / unit / "head_stats.parquet"
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["collision"]), file, compression="zstd")
    edited(run_dir, unit, lambda content: content["files"].update({file.name: file_facts(file)}), is_signed=True)
    with pytest.raises(RunFailedError, match=rf"{unit}: head_stats\.parquet has another schema"):
        verify(run_dir)


def test_ids_that_were_not_planned_are_found(run_dir):
    unit = run_dir.plan.units()[0].name
    edited(run_dir, unit, lambda content: content["sample_ids"].reverse(), is_signed=True)
    verify(run_dir)  # their order is not planned
    edited(run_dir, unit, lambda content: content["sample_ids"].append("more"), is_signed=True)
    with pytest.raises(RunFailedError, match=rf"{unit}: does not hold the planned sample ids"):
        verify(run_dir)


def test_a_unit_that_is_gone_is_named(run_dir):
    unit = run_dir.plan.units()[1]
    shutil.rmtree(run_dir.ledger.shards / unit.name)
    with pytest.raises(RunFailedError, match=rf"1 part\(s\).*{unit.name}: is missing"):
        verify(run_dir)
    assert run_dir.missing_units(run_dir.plan.units()) == [unit]


def test_a_resume_reads_each_manifest_and_each_file_once(run_dir, monkeypatch):
    """And opens one file of each table: to open all of them takes longer than all the rest."""
    read: dict[str, list] = {"manifests": [], "files": [], "schemas": []}

    def counted(kind, real):
        def call(path, *arguments):
            read[kind].append(path)
            return real(path, *arguments)

        return call

    from engine.storage import ledger, verification

    monkeypatch.setattr(ledger, "_read_manifest", counted("manifests", ledger._read_manifest))
    monkeypatch.setattr(ledger, "sha256", counted("files", ledger.sha256))
    monkeypatch.setattr(verification.pq, "read_schema", counted("schemas", pq.read_schema))
    run_dir = RunDirectory(run_dir.root)  # one that has read nothing yet
    units = run_dir.plan.units()
    files = [file for unit in units for file in (run_dir.ledger.shards / unit.name).glob("*.parquet")]
    assert not run_dir.missing_units(units)
    assert len(read["manifests"]) == len(units) and sorted(read["files"]) == sorted(files)
    verify(run_dir)
    assert len(read["manifests"]) == 2 * len(units) and len(read["files"]) == len(files)
    assert len(read["schemas"]) == len({file.name for file in files}) == len(files) / 2


def test_an_id_that_is_held_twice_is_counted(run_dir):
    """Beside as many ids as there are rows: one row is in two units, and another in none."""
    first, second = run_dir.plan.units()
    names = [first.sample_ids[0], *second.sample_ids[1:]]
    run_dir.plan.write_units([first, replace(second, sample_ids=names)])
    plan = json.loads((run_dir.root / "plan.json").read_text())
    plan["checksums"] = {name: sha256(run_dir.root / name) for name in plan["checksums"]}
    (run_dir.root / "plan.json").write_text(json.dumps(plan))
    edited(
        run_dir,
        second.name,
        lambda content: content.update(sample_ids=names, rejected_ids=[]),
        is_signed=True,
    )
    rows = plan["num_rows"]
    with pytest.raises(RunFailedError, match=rf"{rows} input rows, but {rows - 1} ids .*\(1 of them held twice\)"):
        verify(run_dir)
    plan["num_rows"] -= 1
    (run_dir.root / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(RunFailedError, match=r"\(1 of them held twice\)"):
        verify(run_dir)


def test_what_is_verified_is_counted(run_dir):
    units = run_dir.plan.units()
    assert verify(run_dir) == {"units": 2, "samples": sum(len(unit.sample_ids) for unit in units), "rejects": 0}
    one = units[1].sample_ids[0]
    edited(
        run_dir,
        units[1].name,
        lambda content: content.update(sample_ids=units[1].sample_ids[1:], rejected_ids=[one]),
        is_signed=True,
    )
    counts = verify(run_dir)
    assert counts["rejects"] == 1 and counts["samples"] == sum(len(unit.sample_ids) for unit in units) - 1


def test_rejects_of_a_published_run_are_those_of_its_plan_and_units(run_dir):
    run_dir.publish(verify(run_dir))
    counts = verify(run_dir)
    path = run_dir.root / "rejects.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(RunFailedError, match=r"rejects\.parquet is missing or damaged .*it is made anew"):
        verify(run_dir)
    path.write_bytes(whole)
    table = pq.read_table(path)
    other = pa.table([["x"] * len(table.schema)], names=["sample_id"])
    for changed in (table.append_column("more", [[None] * len(table)]), other):
        pq.write_table(changed, path)
        with pytest.raises(RunFailedError, match=r"rejects\.parquet does not hold the rejects"):
            verify(run_dir)
    run_dir.withdraw()
    assert verify(run_dir) == counts, "of a run that is not published they count for nothing"


def test_a_table_that_no_run_has_is_named(run_dir):
    unit = run_dir.plan.units()[0].name
    file = run_dir.ledger.shards / unit / "strange.parquet"
    pq.write_table(pa.table({"a": [1]}), file)
    edited(run_dir, unit, lambda content: content["files"].update({file.name: file_facts(file)}), is_signed=True)
    with pytest.raises(RunFailedError, match=rf"{unit}: strange\.parquet is no table of a run"):
        verify(run_dir)
