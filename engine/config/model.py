"""What a config says of the model."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from engine.attention.backends.registry import backend_names
from engine.sections import Section

_MEMORY_SIZE = re.compile(r"\d+(\.\d+)?([KMG]i?B)")


class AdapterSection(Section):
    """An adapter of PEFT (LoRA and others that change weights) on the model, as its ``save_pretrained`` wrote it.

    ``merge`` adds it to the weights when the model is loaded; without it, it stays beside them, which is slower and
    gives the same numbers up to rounding.
    """

    path: str
    revision: str | None = None
    merge: bool = True


class ModelSection(Section):
    """The model that made the predictions.

    ``device_map`` spreads a model that is larger than a GPU: ``auto`` fills the replica's GPUs
    (``cluster.gpus_per_replica``), then memory, then disk, within ``max_memory`` (bytes by GPU number and ``cpu``, such
    as ``{0: 30GiB, cpu: 100GiB}``); or a mapping from module names to GPU numbers within the replica, ``cpu`` or
    ``disk``. Without it, several GPUs per replica are filled evenly and nothing may lie outside.
    ``trust_remote_code`` runs code that comes with the model; ``allow_pickle`` reads weights from pickles
    (``pytorch_model.bin``) where there are no safetensors. Both are off: either can run anything. ``adapter`` is a
    fine-tune kept beside its base; where ``path`` is the folder of an adapter, it is read as ``adapter.path``, and its
    base from its ``adapter_config.json``. ``gguf_file`` names a GGUF file in ``path``, which is unpacked to ``dtype``
    when it is loaded; a path that is such a file is read so.
    """

    path: str
    revision: str | None = None
    tokenizer: str | None = None
    adapter: AdapterSection | None = None
    gguf_file: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    attention: str = "auto"
    device_map: Literal["auto"] | dict[str, int | Literal["cpu", "disk"]] | None = None
    max_memory: dict[str, int | str] | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

    @field_validator("attention")
    @classmethod
    def _attention_is_known(cls, value: str) -> str:
        names = [repr(name) for name in backend_names()]
        if repr(value) not in names:
            raise ValueError(f"Input should be {', '.join(names[:-1])} or {names[-1]}")
        return value

    @field_validator("max_memory")
    @classmethod
    def _memory_has_units(cls, value: dict[str, int | str] | None) -> dict[str, int | str] | None:
        for name, size in (value or {}).items():
            if not (name.isdigit() or name == "cpu") or not (isinstance(size, int) or _MEMORY_SIZE.fullmatch(size)):
                raise ValueError(
                    f"max_memory says {name}: {size}; give GPU numbers or cpu, and bytes as a number or with a unit "
                    f"(KB, MB, GB, KiB, MiB, GiB), such as {{0: 30GiB, cpu: 100GiB}}"
                )
        return value
