"""What a run was fingerprinted with is what it reads, whatever happens to the files meanwhile."""

import json
import os
import shutil

import pytest

from engine.config import Config
from engine.errors import ConfigError, InputError
from engine.storage import file_digests, fingerprints
from engine.storage.file_digests import FileDigests
from engine.storage.fingerprints import check_model, take_fingerprints


@pytest.fixture
def files(tmp_path):
    """A model's folder and predictions, and the config that names them."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (model / name).write_text(f"{{{name}}}" * 20)
    (tmp_path / "p.json").write_text("[]")
    given = {
        "predictions": {"path": str(tmp_path / "p.json")},
        "model": {"path": str(model)},
        "vocabulary": {"a": ["b"]},
    }
    return tmp_path, Config.model_validate(given)


def replaced(path, edit=lambda content: content[::-1]):
    """Replace a file by another one of its size and time."""
    facts = path.stat()
    other = path.with_name("other")
    other.write_bytes(edit(path.read_bytes()))
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.replace(path)


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that are read whole."""
    names = []
    real = file_digests.sha256
    monkeypatch.setattr(file_digests, "sha256", lambda file: (names.append(file.name), real(file))[1])
    return names


@pytest.mark.parametrize(
    ("name", "part", "error"),
    [("model/model.safetensors", "model", ConfigError), ("p.json", "input", InputError)],
)
def test_files_that_were_replaced_since_are_refused_by_name(files, name, part, error):
    folder, config = files
    current = take_fingerprints(config, folder / "run")
    current.refuse_changes(current.stamps, consequence="")
    replaced(folder / name)
    with pytest.raises(error, match=rf"^{part} \(.*changed while this run worked with it.*Nothing was planned\."):
        current.refuse_changes(current.stamps, consequence="Nothing was planned.")
    (folder / name).unlink()
    assert current.changed(current.stamps) == [part]


def test_a_file_that_was_only_touched_is_the_same(files):
    folder, config = files
    current = take_fingerprints(config, folder / "run")
    replaced(folder / "p.json", lambda content: content)
    assert not current.changed(current.stamps)


def test_replicas_read_files_only_where_their_stamps_differ(files, hashed):
    folder, config = files
    run = folder / "run"
    take_fingerprints(config, run).write(run)
    assert sorted(hashed) == ["config.json", "model.safetensors", "p.json", "tokenizer.json"]
    hashed.clear()
    check_model(config, run)
    take_fingerprints(config, run)
    assert hashed == []
    shutil.copytree(folder / "model", folder / "copy")  # another host's
    config.model.path = str(folder / "copy")
    check_model(config, run)
    check_model(config, run)
    assert sorted(hashed) == ["config.json", "model.safetensors"]
    replaced(folder / "copy" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"model\.path.*is not what this run was fingerprinted with"):
        check_model(config, run)


def test_nothing_is_compared_where_nothing_was_written_or_a_model_lies_on_the_hub(files):
    folder, config = files
    check_model(config, folder / "run")
    config.model.path = "someone/model"
    current = take_fingerprints(config, folder / "run")
    assert current.values["model"] == "hub:someone/model@main"
    current.write(folder / "run")
    check_model(config, folder / "run")


def test_large_files_are_covered_whole_and_older_fingerprints_compared_by_their_rule(files, monkeypatch):
    folder, config = files
    weights = folder / "model" / "model.safetensors"
    monkeypatch.setattr(fingerprints, "_LARGE_BYTES", 100)
    monkeypatch.setattr(fingerprints, "_PROBE_BYTES", 1)
    weights.write_bytes(bytes(range(250)) * 40)
    older = dict(take_fingerprints(config, folder / "run").values)
    parts = [folder / "model" / "config.json", weights]
    sampled = [fingerprints._sampled_digest(file) for file in parts]
    older["model"] = fingerprints._joined("model", parts, sampled, "sha256:")
    current = take_fingerprints(config, folder / "run")
    assert current.values["model"].startswith("sha256-whole:") and current.values["input"].startswith("sha256:")
    assert current.differing(older) == [] and current.differing({**older, "model": "sha256:00"}) == ["model"]
    content = bytearray(weights.read_bytes())
    content[5] ^= 1  # between two probes
    weights.write_bytes(content)
    changed = take_fingerprints(config, folder / "run")
    assert changed.differing(current.values) == ["model"] and changed.differing(older) == []


def test_the_hubs_cache_names_files_by_their_checksum(tmp_path, hashed):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / ("ab" * 32)).write_text("weights")
    (tmp_path / "model.safetensors").symlink_to(blobs / ("ab" * 32))
    (blobs / ("cd" * 20)).write_text("config")  # a small file: named by git's checksum
    (tmp_path / "config.json").symlink_to(blobs / ("cd" * 20))
    found = FileDigests().of([tmp_path / "model.safetensors", tmp_path / "config.json"])
    assert found[0] == "ab" * 32 and hashed == ["cd" * 20] and len(found[1]) == 64


@pytest.mark.parametrize("content", ["[]", "{", '{"files": {"a": [[1, 2]], "b": 3}}'])
def test_damaged_checksums_are_computed_anew(files, content, hashed):
    folder, config = files
    (folder / "run").mkdir()
    (folder / "run" / "fingerprints.json").write_text(content)
    current = take_fingerprints(config, folder / "run")
    assert len(hashed) == 4
    current.write(folder / "run")
    assert json.loads((folder / "run" / "fingerprints.json").read_text())["values"] == current.values
