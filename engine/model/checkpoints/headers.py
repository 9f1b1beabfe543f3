"""What the headers of safetensors say of weights, held against the config before anything is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.model import ModelSection
from engine.errors import ConfigError
from engine.model.classes import auto_class, own_class

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_LENGTH_BYTES = 8
_MOST_BYTES = 100_000_000
"""Of a header; the format allows no more."""
_SHOWN = 3

_DTYPES = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
"""torch's names of the dtypes that the format names."""

Shape = Iterable[int]


def held_against_weights(section: ModelSection, model_config: PreTrainedConfig) -> list[str]:
    """Refuse weights in a folder that lack tensors of the model of a config, or have them in other shapes.

    transformers does as it does when it loads, on tensors without numbers.

    Returns
    -------
    list of str
        Warnings about tensors that the model does not use.

    Raises
    ------
    ConfigError
        Naming the tensors, and both shapes.
    """
    made: Any = own_class(auto_class(model_config), model_config)
    files = weight_files(Path(section.path))
    if made is None or not files:
        return []
    headers = [read_header(file) for file in files]
    if None in headers or any(part["dtype"] not in _DTYPES for header in headers for part in (header or {}).values()):
        return []  # the loading says why
    tensors = {name: tensor for header in headers for name, tensor in _without_numbers(header or {}).items()}
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # it would speak of loading
    dtype = section.dtype if section.dtype == "auto" else getattr(torch, section.dtype)
    options = {"config": model_config, "dtype": dtype, "device_map": {"": "meta"}}
    try:
        _, loading = made.from_pretrained(
            None, state_dict=tensors, ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    except Exception:  # what it says without weights is not certain to be what it says with them
        return []
    refuse_incomplete(section.path, loading)
    unused = sorted(map(str, loading.get("unexpected_keys", ())))
    if not unused:
        return []
    return [
        f"The weights in {section.path!r} hold {len(unused)} tensor(s) that the model of its config.json does not use, "
        f"such as {', '.join(unused[:_SHOWN])}: they are left out of what is measured, as transformers leaves them out."
    ]


def refuse_incomplete(path: str, loading: Mapping[str, Any]) -> None:
    """Refuse weights of which transformers' loading says that they lack tensors, or have them in other shapes.

    Raises
    ------
    ConfigError
        Naming the tensors, and both shapes.
    """
    other: list[tuple[str, Shape, Shape]] = sorted(loading.get("mismatched_keys", ()))
    if other:
        name, found, wanted = other[0]
        more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
        raise ConfigError(
            f"model.path: the weights in {path!r} do not fit its config.json: {name} is {list(found)} in the weights "
            f"and {list(wanted)} by the config{more}. Give the config.json that was saved with them."
        )
    absent = sorted(map(str, loading.get("missing_keys", ())))
    if absent:
        raise ConfigError(
            f"model.path: the weights in {path!r} lack {len(absent)} tensor(s) that the model needs, such as "
            f"{', '.join(absent[:_SHOWN])}; they would be random numbers. Complete the checkpoint."
        )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of safetensors that transformers reads in a folder; none where it holds none yet.

    Raises
    ------
    ConfigError
        When some of the files that its index names are not there, or it holds others alone.
    """
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    try:
        named = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"]
        files = sorted({folder / str(name) for name in named.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        files = []
    absent = [file.name for file in files if not file.is_file()]
    if files and len(absent) < len(files) and absent:
        raise ConfigError(
            f"model.path: {str(folder)!r} lacks {len(absent)} of the {len(files)} files of weights that {_INDEX} "
            f"names, such as {absent[0]}. Copy or download them too."
        )
    return [] if absent else files


def read_header(file: Path) -> dict[str, Any] | None:
    """Return what a file of safetensors says of its tensors by name; None where it cannot be read.

    Raises
    ------
    ConfigError
        When the file is shorter than its header says.
    """
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
            header = json.loads(opened.read(length)) if 0 < length <= _MOST_BYTES else None
        if not isinstance(header, dict):
            return None
        header.pop("__metadata__", None)
        end = _LENGTH_BYTES + length + max((int(part["data_offsets"][1]) for part in header.values()), default=0)
        size = file.stat().st_size
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    if size < end:
        raise ConfigError(
            f"model.path: {str(file)!r} is cut off: it holds {size:,} of the {end:,} bytes that its header speaks of. "
            f"Copy or download it again."
        )
    return header


def _without_numbers(header: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return tensors of these names, shapes and dtypes on the meta device."""
    import torch

    def dtype_of(part: Mapping[str, Any]) -> torch.dtype:
        return getattr(torch, _DTYPES[part["dtype"]])

    return {name: torch.empty(part["shape"], dtype=dtype_of(part), device="meta") for name, part in header.items()}
