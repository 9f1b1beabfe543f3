"""Quantised checkpoints as their config describes them: bits, bytes, and the packages that read them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_BITSANDBYTES = "bitsandbytes"
_PACKAGES: dict[str, tuple[tuple[str, str], ...]] = {
    # method: (module, what pip calls it)
    "aqlm": (("aqlm", "aqlm"),),
    "auto-round": (("auto_round", "auto-round"),),
    "awq": (("gptqmodel", "gptqmodel"),),
    _BITSANDBYTES: ((_BITSANDBYTES, _BITSANDBYTES),),
    "compressed-tensors": (("compressed_tensors", "compressed-tensors"),),
    "eetq": (("kernels", "kernels"),),
    "fouroversix": (("fouroversix", "fouroversix"),),
    "fp_quant": (("fp_quant", "fp_quant"),),
    "gptq": (("optimum", "optimum"), ("gptqmodel", "gptqmodel")),
    "higgs": (("flute", "flute-kernel"),),
    "hqq": (("hqq", "hqq"),),
    "quanto": (("optimum", "optimum-quanto"),),
    "quark": (("quark", "amd-quark"),),
    "sinq": (("sinq", "sinq"),),
    "spqr": (("spqr_quant", "spqr_quant"),),
    "torchao": (("torchao", "torchao"),),
    "vptq": (("vptq", "vptq"),),
}
"""Packages by the method's name in ``quantization_config``, as transformers' quantisers ask for them."""

_BITS = {"bitnet": 2, "eetq": 8, "fbgemm_fp8": 8, "fp8": 8, "mxfp8": 8, "mxfp4": 4, "nvfp4": 4}
_WHOLE_ON_CPU = ("fp8", "mxfp8", "mxfp4")
"""Methods whose weights transformers unpacks to the model's dtype where there is no GPU."""
_NEVER_ON_CPU = ("eetq", "fbgemm_fp8", "fp_quant", "higgs", "metal", "spqr", "vptq")
"""Methods whose quantisers refuse to load where there is no GPU."""
_ONLY_MADE = ("nvfp4",)
"""Methods by which transformers quantises while it loads, and whose checkpoints it does not load."""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How a checkpoint's weights are quantised.

    Attributes
    ----------
    method
        Its name, such as ``gptq``; empty where the config does not say.
    bits
        Of one weight, scales left out; None where the config does not say.
    """

    method: str
    bits: float | None

    @classmethod
    def of(cls, model_config: PreTrainedConfig) -> Quantisation | None:
        """Return what a config says of its weights; None where they are not quantised."""
        found = getattr(model_config, "quantization_config", None)
        found = found or getattr(model_config.get_text_config(), "quantization_config", None)
        if found is None:
            return None
        settings = found if isinstance(found, Mapping) else getattr(found, "to_dict", dict)()
        method = str(settings.get("quant_method") or "")
        if method.startswith(_BITSANDBYTES) or settings.get("load_in_8bit") or settings.get("load_in_4bit"):
            method = _BITSANDBYTES
        return cls(method, _bits(method, settings))

    def words(self) -> str:
        """Return it for a person."""
        return self.method if self.bits is None else f"{self.method}, {self.bits:g} bits"

    @property
    def is_held_against_headers(self) -> bool:
        """Whether headers of weights can be held against the config here: nothing but the shapes is asked for."""
        return self.method == "bitnet"

    def missing_packages(self) -> list[str]:
        """Return what would have to be installed here to read it."""
        return [pip for module, pip in _PACKAGES.get(self.method, ()) if importlib.util.find_spec(module) is None]

    def refuse_unreadable(self, path: str, device: str) -> None:
        """Refuse weights that nothing here can read.

        Parameters
        ----------
        path
            ``model.path``.
        device
            ``model.device``.

        Raises
        ------
        ConfigError
            Naming the packages, or the methods that transformers knows.
        """
        from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

        if not self.method:
            raise ConfigError(
                f"model.path: the config.json in {path!r} has a quantization_config that names no quant_method, with "
                f"which transformers loads nothing. Take quantization_config out if the weights are plain, or give the "
                f"config.json that was saved with them."
            )
        known = {name.partition("_4bit")[0].partition("_8bit")[0] for name in AUTO_QUANTIZER_MAPPING} - {*_ONLY_MADE}
        if self.method not in known:
            raise ConfigError(
                f"model.path: the weights in {path!r} are quantised by {self.method!r}, which transformers does not "
                f"read; it reads {', '.join(sorted(known))}. Give the original weights, or a version in one of these."
            )
        if device == "cpu" and self.method in _NEVER_ON_CPU:
            raise ConfigError(
                f"model.device: the weights in {path!r} are quantised ({self.words()}), which transformers does not "
                f"load on a CPU; set model.device=cuda on a machine that has a GPU, or give the original weights."
            )
        missing = self.missing_packages()
        if missing:
            raise ConfigError(
                f"model.path: the weights in {path!r} are quantised ({self.words()}), and what reads them is not "
                f"installed here: pip install {' '.join(missing)}, on every node of the run; or give the original "
                f"weights."
            )

    def weight_bytes(self, num_parameters: int, num_body: int, itemsize: int, path: str, device: str) -> int:
        """Return the bytes of a model's weights in memory.

        Parameters
        ----------
        num_parameters, num_body
            Of the model, and of its layers alone; embedding and output head keep their dtype.
        itemsize
            Bytes of the model's dtype.
        path
            A folder with weights is the best source of their size.
        device
            ``model.device``.
        """
        whole = num_parameters * itemsize
        if self.bits is None or (device == "cpu" and self.method in _WHOLE_ON_CPU):
            return whole
        files = list(Path(path).glob("*.safetensors")) if Path(path).is_dir() else []
        if files:
            return sum(file.stat().st_size for file in files)
        # Scales and zero points: 16 bits and more for every group of 64 to 128 weights, a quarter of a bit each.
        return int(num_body * (self.bits + 0.25) / 8) + (num_parameters - num_body) * itemsize


def _bits(method: str, settings: Mapping[str, object]) -> float | None:
    """Return the bits of a weight: stated, in the method's name, or in groups; the largest of several."""
    if method == _BITSANDBYTES:
        return 4 if settings.get("load_in_4bit") or settings.get("_load_in_4bit") else 8
    if method in _BITS:
        return _BITS[method]
    found: list[float] = []

    def look(value: object, name: str = "") -> None:
        if isinstance(value, Mapping):
            if name in ("input_activations", "output_activations", "kv_cache_scheme"):
                return
            for key, part in value.items():
                look(part, str(key))
        elif name in ("bits", "num_bits", "nbits", "w_bit") and isinstance(value, int) and not isinstance(value, bool):
            found.append(value)
        elif name == "weights" and isinstance(value, str):
            found.extend(size for size in (2, 4, 8) if value.endswith(str(size)))

    look(settings)
    return max(found, default=None)
