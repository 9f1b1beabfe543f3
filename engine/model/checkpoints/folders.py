"""Folders and files that a model path may name and that hold no model as transformers writes it: what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from engine.config.model import ModelSection
from engine.errors import ConfigError
from engine.model.checkpoints.gguf import check_gguf
from engine.sections import nearest

SAFETENSORS = "*.safetensors"
WEIGHT_PATTERNS = (SAFETENSORS, "pytorch_model*.bin")
_ADAPTER = "adapter_config.json"
_MERGE = (
    "Merge them once: peft.AutoPeftModelForCausalLM.from_pretrained({path!r}).merge_and_unload()"
    ".save_pretrained(folder), save the tokenizer there too, and give that folder."
)
_POINTER = b"version https://git-lfs"
_LARGEST_POINTER = 1024
Matches = Callable[[str], list[Path]]
_KINDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("*.gguf",),
        "a GGUF file, whose quantised weights are those of llama.cpp and Ollama ({names}): name it in model.gguf_file "
        "to have it unpacked when it is loaded, or give the folder of the original safetensors",
    ),
    (("Modelfile", "manifests", "blobs/sha256*"), "what Ollama keeps: give the folder of the original safetensors"),
    (("*.onnx", "onnx/*.onnx"), "an ONNX graph, which has no modules: give the folder of the original safetensors"),
    (("weights.npz", "weights.*.npz"), "weights of MLX: give the folder of the original safetensors"),
    (
        ("tf_model.h5", "flax_model.msgpack"),
        "weights of TensorFlow or Flax: save the model by PyTorch's save_pretrained",
    ),
    (
        ("global_step*", "*.distcp", "pytorch_model_fsdp*", "zero_to_fp32.py"),
        "a checkpoint in shares (DeepSpeed, FSDP): join it by zero_to_fp32.py or `accelerate merge-weights`, and save "
        "it by save_pretrained",
    ),
    (
        ("consolidated*.pth", "consolidated*.safetensors", "params.json"),
        "the publisher's own layout: convert it by the script that transformers has for this model, or download the "
        "version for transformers (with config.json)",
    ),
    (("checkpoint-*",), "checkpoints of a training: give one of them, {latest}"),
    (
        ("*/adapter_config.json",),
        "adapters in folders of their own: give the base as model.path and one of these folders as model.adapter.path",
    ),
    (("snapshots/*",), "a model of the hub's cache: give {latest}"),
    (
        ("*.pt", "*.pth", "*.ckpt", "*.bin", "*.pkl"),
        "weights that PyTorch pickled ({names}): load them into the model by model.load_state_dict and save it by "
        "save_pretrained",
    ),
)
"""What folders hold that is no model, by names of files, and what to do."""


def check_folder(section: ModelSection, *, needs_weights: bool) -> None:
    """Refuse a model path that is known to hold something else than a model, or an adapter beside one.

    Parameters
    ----------
    section
        The config's section.
    needs_weights
        Whether weights must be there; a config alone is enough to plan with.

    Raises
    ------
    ConfigError
        Saying what it holds and what to give.
    """
    if section.gguf_file is not None:
        check_gguf(section)
        return
    place = Path(section.path)
    if place.is_file():
        what = _kind_of(place.parent, lambda pattern: [place] if place.match(pattern) else [])
        raise ConfigError(
            f"model.path: {section.path!r} is a file. {_sentence(what) or 'Give the folder that it lies in.'}"
        )
    if not place.is_dir():
        return
    has_config = (place / "config.json").is_file()
    weights = [file for file in place.glob("*.safetensors") if not file.name.startswith(("adapter_", "consolidated"))]
    weights += place.glob("pytorch_model*.bin")
    is_whole = has_config and bool(weights)
    if (place / _ADAPTER).is_file() or (is_whole and any(place.glob("adapter_model.*"))):
        _refuse_adapter(section.path, place / _ADAPTER, is_whole=is_whole)
    if is_whole:
        _refuse_pointers(section.path, weights)
        _refuse_other_quantisation(section.path, place / "config.json")
        return
    if has_config and not needs_weights:
        return
    what = _kind_of(place, lambda pattern: sorted(place.glob(pattern)))
    if what:
        raise ConfigError(f"model.path: {section.path!r} holds {what}.")


def refuse_missing_folder(key: str, path: str) -> None:
    """Refuse a path that can only mean a folder of this machine, and none is there.

    Names on the hub are ``name`` or ``owner/name``, with no dot, tilde or slash in front: anything else is a path, and
    so is a name whose first part is a folder here.

    Raises
    ------
    ConfigError
        Naming the nearest folder, where there is one.
    """
    place = Path(path)
    if place.exists():
        return
    is_path = path.startswith(("/", ".", "~")) or path.count("/") > 1 or "\\" in path
    if not is_path and (place.parent == Path() or not place.parent.is_dir()):
        return
    known = next((parent for parent in place.parents if parent.is_dir()), Path())
    missing = place.relative_to(known).parts[0] if known in place.parents else place.name
    near = nearest(missing, (file.name for file in known.iterdir() if file.is_dir()))
    hint = f"; did you mean {known / near}?" if near else f"; {str(known.resolve())!r} holds no {missing!r}."
    home = " A shell replaces ~, a config does not: write the whole path." if path.startswith("~") else ""
    raise ConfigError(f"{key}: no such folder: {path!r}{hint}{home}")


def _kind_of(place: Path, matches: Matches) -> str:
    for patterns, what in _KINDS:
        files = [file for pattern in patterns for file in matches(pattern)]
        if files:
            latest = max(files, key=lambda file: (_number(file.name), file.name))
            return what.format(latest=repr(str(latest)), names=", ".join(file.name for file in files[:3]))
    return ""


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


def _sentence(what: str) -> str:
    return f"It is {what}." if what else ""


def _refuse_adapter(path: str, file: Path, *, is_whole: bool) -> None:
    """Refuse an adapter: alone it is no model, and beside whole weights nobody knows whether it is in them."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        base, kind = settings.get("base_model_name_or_path"), settings.get("peft_type")
    except (OSError, ValueError, AttributeError):
        base = kind = None
    name = f"{kind or 'PEFT'} adapter of {base or 'a base model that it does not name'}"
    if is_whole:
        raise ConfigError(
            f"model.path: {path!r} holds whole weights and beside them an adapter ({_ADAPTER}: a {name}); whether the "
            f"recorded answers came with it, and whether it is merged into the weights, cannot be told, and it would "
            f"not be measured. If the weights are merged, or the answers came without it, move {_ADAPTER} and "
            f"adapter_model.* elsewhere. Otherwise move them to a folder of their own and name it in "
            f"model.adapter.path, or: {_MERGE.format(path=path)}"
        )
    raise ConfigError(
        f"model.path: {path!r} holds no model of its own but a {name}: weights to be added to those. Give the base as "
        f"model.path and this folder as model.adapter.path, or merge them. {_MERGE.format(path=path)}"
    )


def _refuse_pointers(path: str, weights: list[Path]) -> None:
    for file in weights:
        try:
            is_small = file.stat().st_size <= _LARGEST_POINTER
            if is_small and file.read_bytes().startswith(_POINTER):
                raise ConfigError(
                    f"model.path: {path!r} holds a pointer of git-lfs instead of weights ({file.name}). Fetch them "
                    f"there by `git lfs pull`."
                )
        except OSError:  # the loading says why
            return


def _refuse_other_quantisation(path: str, file: Path) -> None:
    """Refuse weights that MLX quantised: their config says so in a place where transformers does not look."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the loading says why
        return
    if not isinstance(settings, dict):
        return
    quantised = settings.get("quantization")
    if isinstance(quantised, dict) and "bits" in quantised and "quant_method" not in quantised:
        raise ConfigError(
            f"model.path: {path!r} holds weights that MLX quantised to {quantised['bits']} bits, which transformers "
            f"does not read. Give the folder of the original safetensors."
        )
