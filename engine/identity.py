"""What a run is: resolved config, versions, commit and fingerprints, kept in ``run.yaml`` and checked on resume."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.atomic_files import sha256
from engine.config import Config
from engine.errors import ConfigError
from engine.model_facts import fingerprints
from engine.schema import SCHEMA_VERSION
from engine.store import RunStore

_FREE_SECTIONS = ("analysis", "visualization")
_FREE_CLUSTER_KEYS = ("mode", "replicas", "gpus_per_replica", "accelerator_type", "max_retries")
_FREE_MODEL_KEYS = ("device_map", "max_memory")
_NUMERIC_PACKAGES = ("torch", "transformers", "tokenizers")
_PACKAGES = ("torch", "transformers", "tokenizers", "pyarrow", "polars", "ray", "numpy", "scipy", "altair")


def checked_fingerprints(config: Config, store: RunStore, expected: dict[str, Any], continues: bool) -> dict[str, str]:
    """Return the fingerprints of model, tokenizer and input.

    Parameters
    ----------
    config
        The run's config.
    store
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
    found = fingerprints(config)
    changed = [name for name, value in expected.items() if found.get(name) != value]
    if changed:
        raise ConfigError(
            f"This run.yaml belongs to another {' and '.join(changed)}: fingerprints differ from those it recorded. "
            f"Bring back the same files, or start from a config instead of a run.yaml."
        )
    earlier = store.read_run_yaml()
    if earlier is None or not continues:
        return found
    differences = _differences(_measured_part(earlier["config"]), _measured_part(config.model_dump(mode="json")))
    differences += [name for name, value in found.items() if earlier["fingerprints"].get(name) != value]
    if earlier.get("schema_version") != SCHEMA_VERSION or earlier.get("version") != _version():
        differences.append(f"code version ({earlier.get('version')} -> {_version()})")
    elif earlier.get("code") not in (None, _source_digest()) and not _is_complete(store):
        differences.append("code (the files of the package engine changed)")
    before = earlier.get("versions", {})
    differences += [
        f"{name} ({before[name]} -> {_installed(name)})"
        for name in _NUMERIC_PACKAGES
        if before.get(name) not in (None, _installed(name)) and not _is_complete(store)
    ]
    if differences:
        raise ConfigError(
            f"{store.root}: holds a run made with another {', '.join(differences)}. Its results are kept; give this "
            f"run another run.name, or start anew with --fresh (which sets the old one aside and deletes nothing)."
        )
    return found


def _is_complete(store: RunStore) -> bool:
    """Whether nothing of a run is left to be computed, so that no other code can add to it."""
    units = (*store.planned_units(), *store.causal_units())
    return store.is_published() and not any(store.damage(unit) for unit in units)


def _source_digest() -> str:
    """Return the checksum of the code that measures."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".c")):
        digest.update(f"{file.relative_to(folder).as_posix()}:{sha256(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _measured_part(config: dict[str, Any]) -> dict[str, Any]:
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


def _differences(before: Any, after: Any, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [d for key in keys for d in _differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))]
    return [] if before == after else [f"{path} ({before!r} -> {after!r})"]


def adopt_analysis_settings(config: Config, store: RunStore) -> None:
    """Let a finished run be analysed by this config's settings.

    Raises
    ------
    ConfigError
        When the config differs in anything that the measured numbers depend on.
    """
    earlier = store.read_run_yaml()
    if earlier is None:
        return
    dumped = config.model_dump(mode="json")
    differences = _differences(_measured_part(earlier["config"]), _measured_part(dumped))
    if differences:
        raise ConfigError(
            f"{store.root}: was measured with another {', '.join(differences)}; --stage analyze can only change the "
            f"sections {' and '.join(_FREE_SECTIONS)}."
        )
    store.write_run_yaml({**earlier, "config": dumped})


def write_run_yaml(
    config: Config, store: RunStore, found: dict[str, str], timings: dict[str, float], is_debug: bool = False
) -> None:
    """Write the resolved config and all that a repetition of the run must match."""
    earlier = store.read_run_yaml() or {}
    manifests = (store.manifest(unit.name) for unit in store.planned_units())
    facts = next((manifest["facts"] for manifest in manifests if manifest), {})
    store.write_run_yaml(
        {
            "config": config.model_dump(mode="json"),
            "seed": config.run.seed,
            "debug": is_debug,
            "version": _version(),
            "schema_version": SCHEMA_VERSION,
            "code": _source_digest(),
            "versions": {"python": platform.python_version(), **{name: _installed(name) for name in _PACKAGES}},
            "commit": _commit(),
            "fingerprints": found,
            "device": facts.get("device"),
            "attention": facts.get("attention"),
            "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
            "timings": {**earlier.get("timings", {}), **{name: round(value, 3) for name, value in timings.items()}},
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
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
