"""Weights from the hub: fetched once per cache, however many replicas of however many nodes want them at a time.

The hub's client locks file by file with ``flock``, which some network file systems keep to one node. A lease in the
cache (a file that only one process can make, kept alive by a heartbeat) excludes everybody who sees that cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.config import Config
from engine.machine.lease import LeaseHeld, RunLease

_POLL_SECONDS = 1.0
_SAFETENSORS, _PICKLES = "model.safetensors", "pytorch_model.bin"

Find = Callable[[str], Path | None]


def fetch_model(config: Config) -> None:
    """Bring a hub model's weights into the cache, one process at a time; nothing where they lie already.

    Whatever cannot be fetched is left to the loading of the model, which says why.

    Parameters
    ----------
    config
        The run's config.
    """
    path, revision = config.model.path, config.model.revision
    if Path(path).is_dir():
        return
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    def cached(name: str) -> Path | None:
        found = try_to_load_from_cache(path, name, revision=revision)
        return Path(found) if isinstance(found, str) else None

    def fetched(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(path, name, revision=revision))
        except EntryNotFoundError:
            return None

    kinds = [_SAFETENSORS, *([_PICKLES] if config.model.allow_pickle else [])]
    try:
        if constants.HF_HUB_OFFLINE or _has_all_weights(kinds, cached):
            return
        with _turn(Path(constants.HF_HUB_CACHE) / f"models--{path.replace('/', '--')}"):
            _has_all_weights(kinds, fetched)
    except (OSError, ValueError):  # a cache that cannot be written, a hub that does not answer, a name that is none
        return


def _has_all_weights(kinds: list[str], find: Find) -> bool:
    """Look for a model's weights, one file or an index and its shards; return whether all were found."""
    for name in kinds:
        if find(name) is not None:
            return True
        index = find(f"{name}.index.json")
        if index is not None:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return all(find(shard) is not None for shard in sorted(shards))
    return False


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until nobody else fetches into a folder of the cache, and hold it while inside."""
    while True:
        lease = RunLease(folder)
        try:
            lease.__enter__()
            break
        except LeaseHeld:
            time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lease.__exit__(None, None, None)
