"""Adapters (PEFT): what a plan can know of one, and a model with one merged into its weights or beside them."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.model import AdapterSection
from engine.errors import ConfigError
from engine.model.checkpoints.folders import refuse_missing_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_PATTERNS = ("adapter_config.json", "adapter_model.*")
"""Files of an adapter, which its fingerprint is made of."""

_WITH_TOKENS_OF_ITS_OWN = (
    "ADAPTION_PROMPT",
    "CPT",
    "MULTITASK_PROMPT_TUNING",
    "PREFIX_TUNING",
    "PROMPT_TUNING",
    "P_TUNING",
)
_INSTALL = "pip install 'headledger[adapters]'"


def check_adapter(adapter: AdapterSection, *, allow_pickle: bool) -> None:
    """Refuse an adapter that cannot be applied, as far as its folder and this machine tell.

    Raises
    ------
    ConfigError
        Saying what is missing.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(
            f"model.adapter: {adapter.path!r} is applied by the package peft, which is not installed here; without it "
            f"the base model would be measured. Install it ({_INSTALL}), on every node of the run."
        )
    refuse_missing_folder("model.adapter.path", adapter.path)
    folder = Path(adapter.path)
    if not folder.is_dir():
        return  # on the hub: loading says why
    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        kind = str(settings["peft_type"])
    except (OSError, ValueError, KeyError, TypeError):
        several = sorted(file.parent.name for file in folder.glob("*/adapter_config.json"))
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} holds no adapter_config.json that can be read; give "
            + (
                f"one of the adapters in it ({', '.join(several[:5])})."
                if several
                else "the folder that PEFT's or TRL's save_pretrained wrote."
            )
        ) from None
    _refuse_tokens(adapter, kind)
    _refuse_switched(adapter, kind, settings.get("alora_invocation_tokens"))
    if not (folder / "adapter_model.safetensors").is_file():
        if not (folder / "adapter_model.bin").is_file():
            raise ConfigError(f"model.adapter.path: {adapter.path!r} holds no weights (adapter_model.safetensors).")
        if not allow_pickle:
            raise ConfigError(
                f"model.adapter.path: {adapter.path!r} holds weights only as a pickle (adapter_model.bin), which can "
                f"run any code when it is read; save them as safetensors, or set model.allow_pickle=true if you trust "
                f"them."
            )


def with_adapter(model: PreTrainedModel, adapter: AdapterSection) -> PreTrainedModel:
    """Return a model with an adapter, merged into its weights or beside them.

    A model without numbers (on the meta device) is refused where one with numbers is; the adapter's own are read.

    Raises
    ------
    ConfigError
        When the adapter does not belong to the model, or not all of it can be applied.
    """
    has_numbers = model.device.type != "meta"
    wrapped = _applied(model, adapter, has_numbers=has_numbers)
    if not adapter.merge:
        return wrapped.get_base_model().eval()
    _refuse_tied(adapter, wrapped)
    try:
        return wrapped.merge_and_unload(safe_merge=has_numbers).eval()
    # A kind of adapter that cannot be merged has no such method, or one that says so.
    except (ValueError, RuntimeError, AttributeError) as error:
        from engine.machine.devices import is_out_of_memory  # with torch, which plans load after their mistakes

        if is_out_of_memory(error):
            raise
        if not has_numbers and "meta" in str(error):
            return model.eval()  # what hangs on numbers proves nothing
        raise ConfigError(
            f"model.adapter.merge: {adapter.path!r} cannot be merged into the weights: {error}. Set "
            f"model.adapter.merge=false to keep it beside them."
        ) from None


def _applied(model: PreTrainedModel, adapter: AdapterSection, *, has_numbers: bool) -> Any:
    """Return PEFT's wrapper around a model with an adapter beside its weights."""
    peft: Any = importlib.import_module("peft")  # optional, so that no type checker may count on it
    revision = {} if adapter.revision is None else {"revision": adapter.revision}
    place = {} if has_numbers else {"torch_device": "cpu"}
    try:
        settings: Any = peft.PeftConfig.from_pretrained(adapter.path, **revision)
        _refuse_tokens(adapter, str(settings.peft_type.value))
        _refuse_switched(adapter, str(settings.peft_type.value), getattr(settings, "alora_invocation_tokens", None))
        _resize(model, adapter, revision)
        settings.inference_mode = True
        if not has_numbers and isinstance(getattr(settings, "init_lora_weights", None), str):
            settings.init_lora_weights = True  # others begin with what they make of the model's numbers
        wrapped: Any = peft.get_peft_model(model, settings)
        loaded: Any = wrapped.load_adapter(adapter.path, "default", is_trainable=False, **revision, **place)
    except ConfigError:
        raise
    except Exception as error:  # peft raises many types here
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} could not be applied to the model: {reason}. The adapter must have "
            f"been trained on this very model (base_model_name_or_path in its adapter_config.json)."
        ) from None
    strangers = [*loaded.missing_keys, *loaded.unexpected_keys]
    if strangers:
        raise ConfigError(
            f"model.adapter.path: {len(strangers)} tensor(s) of {adapter.path!r} and of the model do not meet, such as "
            f"{strangers[0]}: the adapter would be applied in part. It belongs to another model, or to another version "
            f"of it."
        )
    return wrapped


def _refuse_switched(adapter: AdapterSection, kind: str, invocation_tokens: object) -> None:
    """Refuse adapters that are switched on by what stands in the text: only a wrapper of PEFT around the model does."""
    what = "LORA adapter that begins at its invocation tokens (aLoRA)" if invocation_tokens else f"{kind} adapter"
    if invocation_tokens or kind == "XLORA":
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} is a {what}, which depends on what stands in each text; such "
            f"adapters are not covered: the base model would be measured. Adapters that change weights alone are."
        )


def _resize(model: PreTrainedModel, adapter: AdapterSection, revision: dict[str, str]) -> None:
    """Give a model as many tokens as the adapter was trained with, where the adapter holds their embeddings.

    Raises
    ------
    ConfigError
        When it holds those of the text and not those of the output head, which would be random numbers.
    """
    peft: Any = importlib.import_module("peft.utils")
    weights: dict[str, Any] = peft.load_peft_weights(adapter.path, device="cpu", **revision)
    named = {id(part): name for name, part in model.named_modules()}
    sizes: dict[str, int] = {}
    ends: dict[str, Any] = {"embeddings": model.get_input_embeddings(), "output head": model.get_output_embeddings()}
    for end, part in ends.items():
        whole = (f"{named.get(id(part), '?')}.weight", f"{named.get(id(part), '?')}.modules_to_save.weight")
        for name, weight in weights.items():
            if name.endswith(whole):
                sizes[end] = weight.shape[0]
    own = int(ends["embeddings"].weight.shape[0])
    number = sizes.get("embeddings", own)
    if number == own:
        return
    is_tied = bool(getattr(model, "all_tied_weights_keys", None))
    if sizes.get("output head", number if is_tied else own) != number:
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} was trained with {number} tokens, the model has {own}, and it holds "
            f"no output head of that size: the new tokens' logits would be random numbers. Save it with "
            f"modules_to_save=[embed_tokens, lm_head], or merge it where it was trained."
        )
    model.resize_token_embeddings(number, mean_resizing=False)


def _refuse_tied(adapter: AdapterSection, wrapped: Any) -> None:
    """Refuse to merge what is added to weights that another module shares: merged, it would be added to both.

    Raises
    ------
    ConfigError
        Naming the part.
    """
    owners: dict[int, list[str]] = {}
    for name, module in wrapped.get_base_model().named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(name)
    for name, module in wrapped.get_base_model().named_modules():
        base = module.get_base_layer() if hasattr(module, "lora_A") else None
        shared = owners.get(id(getattr(base, "weight", None)), [])
        is_replaced = any(".original_module" in owner for owner in shared)
        if len(shared) > 1 and not is_replaced:
            raise ConfigError(
                f"model.adapter.merge: {adapter.path!r} adds to {name}, whose weights are those of "
                f"{next(owner for owner in shared if not owner.startswith(name))} too; merged, it would be added to "
                f"both. Set model.adapter.merge=false to keep it beside them."
            )


def _refuse_tokens(adapter: AdapterSection, kind: str) -> None:
    """Refuse adapters that put tokens of their own before the text: they stand in no column of any table."""
    if kind in _WITH_TOKENS_OF_ITS_OWN:
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} is a {kind} adapter, which puts keys or tokens before the text that "
            f"stand for no word of it; such adapters are not covered. Adapters that change weights (LoRA and others) "
            f"are."
        )
