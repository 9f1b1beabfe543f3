"""What a config says of the model."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from engine.attention.backends.registry import backend_names
from engine.sections import Section

_MEMORY_SIZE = re.compile(r"\d+(\.\d+)?([KMG]i?B)")


class AdapterSection(Section):
    """An adapter of PEFT (LoRA and others that change weights) on the model, as its ``save_pretrained`` wrote it."""

    path: str
    """Folder or hub name of the adapter. Example: adapters/my-lora."""
    revision: str | None = None
    """Of the adapter on the hub. Example: main."""
    merge: bool = True
    """Add it to the weights when the model is loaded; off: beside them, which is slower and the same up to rounding."""


class ModelSection(Section):
    """The model that made the predictions.

    Where ``path`` is the folder of an adapter, it is read as ``adapter.path``, and its base from its
    ``adapter_config.json``.
    """

    path: str
    """A folder, a GGUF file, or a name on the hub. Example: Qwen/Qwen2-7B-Instruct."""
    revision: str | None = None
    """Commit, tag or branch on the hub. Example: main."""
    tokenizer: str | None = None
    """Folder or name of another tokenizer than the model's own. Example: data/demo-model."""
    adapter: AdapterSection | None = None
    gguf_file: str | None = None
    """A GGUF file in ``path``, unpacked to ``dtype`` when it is loaded. Example: model-q4_k_m.gguf."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model computes in; ``auto``: as its config says. Statistics are float32 always."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """``auto``: CUDA, else Apple's GPU, else CPUs."""
    attention: str = "auto"
    """How statistics are computed: ``auto`` (the fused kernel on NVIDIA GPUs, a compiled pass on CPUs, else blocked),
    or one of these by name. Example: blocked."""
    device_map: Literal["auto"] | dict[str, int | Literal["cpu", "disk"]] | None = None
    """Of a model larger than a GPU: ``auto`` fills the replica's GPUs, then memory, then disk, within ``max_memory``;
    or module names and places (a GPU's number within the replica, cpu, disk). Null: a replica's GPUs are filled evenly,
    and nothing may lie outside. Example: {model.layers.0: 0, model.layers.1: cpu}."""
    max_memory: dict[str, int | str] | None = None
    """For ``device_map: auto``: bytes by GPU number and cpu. Example: {0: 30GiB, cpu: 100GiB}."""
    trust_remote_code: bool = False
    """Run code that comes with the model, which can be anything."""
    allow_pickle: bool = False
    """Read weights from pickles (``pytorch_model.bin``) where there are no safetensors; a pickle can run anything."""

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
