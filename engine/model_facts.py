"""What can be known of a model without loading its weights: its config, its size, its fingerprint."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.attention.interface import UnsupportedModelError
from engine.config import Config
from engine.errors import ConfigError
from engine.lent_models import lent_model
from engine.plan import ModelFacts
from engine.probe import Geometry
from engine.records import input_files

_WHOLE_FILE_BYTES = 64 * 2**20
_PROBE_BYTES = 2**20
_SAFETENSORS = "*.safetensors"
WEIGHT_PATTERNS = (_SAFETENSORS, "pytorch_model*.bin")


def read_model_facts(config: Config, needs_model: bool) -> tuple[ModelFacts, str]:
    """Read a model's config and fingerprint.

    Parameters
    ----------
    config
        The run's config.
    needs_model
        Whether the run will load the weights; a dry run goes on without knowing the model.

    Returns
    -------
    tuple of ModelFacts and str
        The facts, and a warning for the user (empty when all is known).

    Raises
    ------
    ConfigError
        When the model cannot be read although it is needed, or its kind of attention is not covered.
    """
    from transformers import AutoConfig

    path, lent = config.model.path, lent_model()
    try:
        model_config: Any = (
            lent.model.config
            if lent
            else AutoConfig.from_pretrained(
                path, revision=config.model.revision, trust_remote_code=config.model.trust_remote_code
            )
        )
    except Exception as error:  # transformers raises many types here
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        message = f"model.path: no model config could be read from {path!r}: {reason}"
        if Path(path).parent.is_dir() and Path(path).parent != Path() and not Path(path).exists():
            near = difflib.get_close_matches(Path(path).name, [f.name for f in Path(path).parent.iterdir()], n=1)
            hint = f"; did you mean {Path(path).parent / near[0]}?" if near else ""
            raise ConfigError(f"model.path: no such folder: {path!r}{hint}") from None
        if needs_model:
            raise ConfigError(
                f"{message} Give a folder with config.json and weights, or the name of a model on the hub that this "
                f"machine can reach or has in its cache."
            ) from None
        return ModelFacts(), f"{message} Layers, context length and memory are therefore unknown in this plan."
    try:
        geometry = Geometry.of(model_config)
    except UnsupportedModelError as error:
        raise ConfigError(f"model.path: {path!r}: {error}.") from None
    reads_weights = needs_model and lent is None and Path(path).is_dir()
    if reads_weights and not _weight_files(Path(path)):
        raise ConfigError(
            f"model.path: {path!r} holds a config but no weights ({' or '.join(WEIGHT_PATTERNS)}); copy the weights "
            f"there, or plan without them by --stage plan."
        )
    if reads_weights and not config.model.allow_pickle and not any(Path(path).glob(_SAFETENSORS)):
        raise ConfigError(
            f"model.path: {path!r} holds weights only as pickles (pytorch_model*.bin), which can run any code when "
            f"they are read; save them as safetensors, or set model.allow_pickle=true if you trust them."
        )
    text = model_config.get_text_config()
    dtype = config.model.dtype if config.model.dtype != "auto" else str(getattr(text, "dtype", None) or "float32")
    rope = _rope(text)
    parameters = _num_parameters(model_config, config.model.trust_remote_code)
    facts = ModelFacts(
        num_layers=geometry.num_layers,
        num_heads=geometry.num_heads,
        num_parameters=parameters and parameters[0],
        num_body_parameters=parameters and parameters[1],
        max_tokens=_context(text, rope),
        hidden_size=int(text.hidden_size),
        dtype=dtype.removeprefix("torch."),
        vocab_size=getattr(text, "vocab_size", None),
        rope_kind=rope.get("rope_type"),
        rope_original=rope.get("original"),
        intermediate_size=getattr(text, "intermediate_size", None),
        head_dim=getattr(text, "head_dim", None) or int(text.hidden_size) // geometry.num_heads,
    )
    return facts, ""


def _rope(text_config: Any) -> dict[str, Any]:
    """Return kind, original context and factor of rotary scalings that depend on the sequence's length."""
    parameters = getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None) or {}
    if not isinstance(parameters, dict):
        return {}
    layered = [part for part in parameters.values() if isinstance(part, dict) and "rope_type" in part]
    for part in layered or [parameters]:
        kind = part.get("rope_type")
        if kind in ("longrope", "dynamic"):
            original = part.get("original_max_position_embeddings") or _positions(text_config)
            return {"rope_type": kind, "original": original, "factor": part.get("factor")}
    return {}


def _positions(text_config: Any) -> int | None:
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(text_config, name, None)
        if value:
            return int(value)
    return None


def _context(text_config: Any, rope: dict[str, Any]) -> int | None:
    """Return the longest sequence that the model takes; dynamic scaling stretches the stated one by its factor."""
    positions = _positions(text_config)
    if positions is not None and rope.get("rope_type") == "dynamic":
        return int(positions * float(rope["factor"] or 1))
    return positions


def _num_parameters(model_config: Any, trust_remote_code: bool) -> tuple[int, int] | None:
    """Return the numbers of all parameters and of those between embedding and output head.

    The model is built on the meta device, which holds no numbers.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(model_config, trust_remote_code=trust_remote_code)
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
    except Exception:  # an estimate, nothing depends on it
        return None
    at_the_ends = {id(parameter) for module in ends if module is not None for parameter in module.parameters()}
    sizes = [(parameter.numel(), id(parameter) in at_the_ends) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, is_at_end in sizes if not is_at_end)


def _weight_files(folder: Path) -> list[Path]:
    return sorted(file for pattern in WEIGHT_PATTERNS for file in folder.glob(pattern))


def fingerprints(config: Config) -> dict[str, str]:
    """Return fingerprints of model, tokenizer and input, by which a repeated run is recognised."""
    tokenizer, revision, lent = config.model.tokenizer or config.model.path, config.model.revision, lent_model()
    return {
        "model": lent.fingerprint() if lent
        else _folder_fingerprint(config.model.path, revision, ("config.json", *WEIGHT_PATTERNS)),
        "tokenizer": lent.tokenizer_fingerprint() if lent
        else _folder_fingerprint(tokenizer, revision, ("token*.json", "*.jinja")),
        "input": _input_fingerprint(input_files(config.predictions.path, config.predictions.format)),
        **{
            name: _file_digest(Path(value))
            for name, value in (("vocabulary", config.vocabulary), ("chat_template", config.prompt.chat_template))
            if isinstance(value, str) and "{" not in value and Path(value).is_file()
        },
    }  # fmt: skip


def _input_fingerprint(files: Sequence[Path]) -> str:
    """Return the digest of one file, or of the names and digests of several."""
    if len(files) == 1:
        return _file_digest(files[0])
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{_file_digest(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _folder_fingerprint(path: str, revision: str | None, patterns: tuple[str, ...]) -> str:
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}@{revision or 'main'}"
    digest = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern)}):
        digest.update(f"{file.name}:{_file_digest(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _file_digest(file: Path) -> str:
    """Return a SHA-256 of a file: all of it up to 64 MiB, of larger ones the size and 64 evenly spaced MiB."""
    digest = hashlib.sha256()
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _WHOLE_FILE_BYTES:
            while block := stream.read(_PROBE_BYTES):
                digest.update(block)
        else:
            digest.update(str(size).encode())
            for part in range(64):
                stream.seek(part * (size - _PROBE_BYTES) // 63)
                digest.update(stream.read(_PROBE_BYTES))
    return f"sha256:{digest.hexdigest()}"
