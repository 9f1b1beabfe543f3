"""What a run is: resolved config, versions, commit and fingerprints, kept in ``run.yaml`` and checked on resume."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import engine
from engine.config import Config
from engine.errors import ConfigError
from engine.machine.atomic_files import sha256
from engine.schema import SCHEMA_VERSION, is_readable_schema, layout, same_schema
from engine.storage.fingerprints import Fingerprints, take_fingerprints
from engine.storage.records import RunRecord, Settings
from engine.storage.run_directory import RunDirectory

_FREE_SECTIONS = ("analysis", "visualization")
_FREE_CLUSTER_KEYS = (
    "mode",
    "replicas",
    "gpus_per_replica",
    "accelerator_type",
    "max_retries",
    "planning_processes",
    "compact",
)
_FREE_MODEL_KEYS = ("device_map", "max_memory")
_NUMERIC_PACKAGES = ("torch", "transformers", "tokenizers")
_PACKAGES = ("torch", "transformers", "tokenizers", "pyarrow", "polars", "ray", "numpy", "scipy", "altair")

_NEGATIONS_OF_1_0 = [
    *("not", "no", "never", "neither", "nor", "without", "unlikely", "fail", "fails", "non", "cannot", "n't"),
    *("nicht", "kein", "keine", "keinen", "不", "没有"),
]
"""The default of ``decision.negations`` before it became the words of the answer's language."""


def checked_fingerprints(
    config: Config, run_dir: RunDirectory, expected: Mapping[str, str], *, continues: bool
) -> Fingerprints:
    """Return the fingerprints of model, tokenizer and input.

    Parameters
    ----------
    config
        The run's config.
    run_dir
        Its run directory, which may hold an earlier part of the same run.
    expected
        Fingerprints that the config file itself recorded, when it is a ``run.yaml``.
    continues
        Whether committed units of the directory are gone on with; if not, they are not compared.

    Raises
    ------
    ConfigError
        When config, files or code differ from those of the run that would go on; the message names each.
    InputError
        When the predictions file is missing.
    """
    current = take_fingerprints(config, run_dir.root)
    changed = [name for name in current.differing(expected) if name in expected]
    if changed:
        raise ConfigError(
            f"This run.yaml belongs to another {' and '.join(changed)}: fingerprints differ from those it recorded. "
            f"Bring back the same files, or start from a config instead of a run.yaml."
        )
    earlier = run_dir.read_run_yaml()
    if earlier is None or not continues:
        return current
    now = config.model_dump(mode="json")
    differences = _differences(_completed(earlier, now), _measured_part(now))
    differences += [name for name in current.differing(earlier["fingerprints"]) if name in current.values]
    differences += _differences_of_code(run_dir, earlier)
    if differences:
        raise ConfigError(
            f"{run_dir.root}: holds a run made with another {', '.join(differences)}. Its results are kept; give this "
            f"run another run.name, or start anew with --fresh (which sets the old one aside and deletes nothing)."
        )
    return current


def _differences_of_code(run_dir: RunDirectory, earlier: RunRecord) -> list[str]:
    """Return how the code of today differs from that of an earlier part of the run, as far as it still computes."""
    differences: list[str] = []
    schema = earlier.get("schema_version")
    if not is_readable_schema(schema):
        differences.append(f"code version ({earlier.get('version')} -> {_version()})")
    elif not same_schema(schema, SCHEMA_VERSION) and not _is_complete(run_dir):
        differences.append(f"version of its tables (schema {schema} -> {SCHEMA_VERSION})")
    elif earlier.get("version") != _version() and not _is_complete(run_dir):
        differences.append(f"code version ({earlier.get('version')} -> {_version()})")
    elif earlier.get("code") not in (None, _source_digest()) and not _is_complete(run_dir):
        differences.append("code (the files of the package engine changed)")
    before = earlier.get("versions", {})
    return differences + [
        f"{name} ({before[name]} -> {_installed(name)})"
        for name in _NUMERIC_PACKAGES
        if before.get(name) not in (None, _installed(name)) and not _is_complete(run_dir)
    ]


def _is_complete(run_dir: RunDirectory) -> bool:
    """Whether nothing of a run is left to be computed, so that no other code can add to it."""
    if not run_dir.is_published():
        return False
    committed = run_dir.ledger.committed()
    units = run_dir.units()
    return all(unit.name in committed for unit in units) and not run_dir.ledger.damages(units, committed)


def _source_digest() -> str:
    """Return the checksum of the code that measures."""
    folder = Path(engine.__file__).parent  # the whole package, not the room that this file lies in
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".c")):
        digest.update(f"{file.relative_to(folder).as_posix()}:{sha256(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _measured_part(config: Settings) -> Settings:
    """Return the part of a config on which measured numbers depend."""
    part = {name: dict(value) if isinstance(value, dict) else value for name, value in config.items()}
    for section in _FREE_SECTIONS:
        part.pop(section, None)
    part["run"].pop("output", None)
    for section, names in (("cluster", _FREE_CLUSTER_KEYS), ("model", _FREE_MODEL_KEYS)):
        for name in names:
            part[section].pop(name, None)
    causal = part.pop("causal", None) or {}
    if any(value is not None for name, value in causal.items() if name != "max_samples"):
        part["causal"] = causal  # runs of versions that knew no causal part have none
    return part


def _completed(earlier: RunRecord, now: Settings) -> Settings:
    """Return the measured part of an earlier run's config, with defaults of keys that its version did not know.

    A default of 1.0 that has changed since is read as today's where the config of today leaves the key out too.
    """
    config = earlier["config"]
    try:
        part = _measured_part(Config.model_validate(config).model_dump(mode="json"))
    except ValueError:  # it holds what this version does not know: that is a difference, and is named
        return _measured_part(config)
    is_default = part["decision"]["negations"] == _NEGATIONS_OF_1_0 and now["decision"]["negations"] is None
    if is_default and same_schema(earlier.get("schema_version"), "1.0"):
        part["decision"]["negations"] = None
    return part


def _differences(before: object, after: object, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [d for key in keys for d in _differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))]
    return [] if before == after else [f"{path} ({before!r} -> {after!r})"]


def is_measured_alike(config: Config, record: RunRecord) -> bool:
    """Whether an earlier run's config says the same as this one in all that the measured numbers depend on."""
    now = config.model_dump(mode="json")
    parts = [_completed(record, now), _measured_part(now)]
    for part in parts:
        part["run"].pop("name", None)
    return parts[0] == parts[1]


def record_timing(run_dir: RunDirectory, name: str, seconds: float) -> None:
    """Write into ``run.yaml`` how long a stage took; nothing where there is no such file."""
    record = run_dir.read_run_yaml()
    if record is not None:
        run_dir.write_run_yaml({**record, "timings": {**record["timings"], name: round(seconds, 3)}})


def adopt_analysis_settings(config: Config, run_dir: RunDirectory) -> None:
    """Let a finished run be analysed by this config's settings.

    Raises
    ------
    ConfigError
        When the config differs in anything that the measured numbers depend on.
    """
    earlier = run_dir.read_run_yaml()
    if earlier is None:
        return
    dumped = config.model_dump(mode="json")
    differences = _differences(_completed(earlier, dumped), _measured_part(dumped))
    if differences:
        raise ConfigError(
            f"{run_dir.root}: was measured with another {', '.join(differences)}; --stage analyze can only change the "
            f"sections {' and '.join(_FREE_SECTIONS)}."
        )
    run_dir.write_run_yaml({**earlier, "config": dumped})


def write_run_yaml(
    config: Config,
    run_dir: RunDirectory,
    current: dict[str, str],
    timings: Mapping[str, float],
    *,
    is_debug: bool = False,
) -> None:
    """Write the resolved config and all that a repetition of the run must match.

    Parameters
    ----------
    config
        The run's config.
    run_dir
        Its run directory.
    current
        Fingerprints of model, tokenizer and input.
    timings
        Seconds of stages, by name; those of other stages stay.
    is_debug
        Whether the run measures a few samples only, to be looked at.
    """
    earlier, plan = run_dir.read_run_yaml(), run_dir.plan.read()
    before = {} if earlier is None else earlier["timings"]
    facts = next((manifest["facts"] for manifest in run_dir.ledger.manifests(run_dir.plan.units())), None)
    run_dir.write_run_yaml(
        {
            "config": config.model_dump(mode="json"),
            "seed": config.run.seed,
            "debug": is_debug,
            "version": _version(),
            "schema_version": SCHEMA_VERSION,
            "code": _source_digest(),
            "versions": {"python": platform.python_version(), **{name: _installed(name) for name in _PACKAGES}},
            "commit": _commit(),
            "fingerprints": current,
            "device": facts.get("device") if facts else None,
            "attention": facts.get("attention") if facts else None,
            "fallback_layers": facts.get("fallback_layers") if facts else None,
            "start_check": run_dir.read_json(layout.START_CHECK),
            "warnings": [] if plan is None else plan.warnings,
            "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
            "timings": {**before, **{name: round(value, 3) for name, value in timings.items()}},
        }
    )


def _version() -> str:
    return _installed("headledger") or "unknown"


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the source tree, marked when it has changes, or None outside a git checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
