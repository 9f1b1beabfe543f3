"""Adapters (PEFT): what a plan can know of one, and a model with one merged into its weights or beside them."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.model import AdapterSection
from engine.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_PATTERNS = ("adapter_config.json", "adapter_model.*")
"""Files of an adapter, which its fingerprint is made of."""

_WITH_TOKENS_OF_ITS_OWN = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT")
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
    folder = Path(adapter.path)
    if not folder.is_dir():
        return  # on the hub: loading says why
    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        kind = str(settings["peft_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} holds no adapter_config.json that can be read; give the folder that "
            f"PEFT's or TRL's save_pretrained wrote."
        ) from None
    _refuse_tokens(adapter, kind)
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

    Raises
    ------
    ConfigError
        When the adapter does not belong to the model, or not all of it can be applied.
    """
    peft: Any = importlib.import_module("peft")  # optional, so that no type checker may count on it
    revision = {} if adapter.revision is None else {"revision": adapter.revision}
    try:
        settings: Any = peft.PeftConfig.from_pretrained(adapter.path, **revision)
        _refuse_tokens(adapter, str(settings.peft_type.value))
        settings.inference_mode = True
        wrapped: Any = peft.get_peft_model(model, settings)
        loaded: Any = wrapped.load_adapter(adapter.path, "default", is_trainable=False, **revision)
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
    if not adapter.merge:
        return wrapped.get_base_model().eval()
    try:
        return wrapped.merge_and_unload(safe_merge=True).eval()
    # A kind of adapter that cannot be merged has no such method, or one that says so.
    except (ValueError, NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"model.adapter.merge: {adapter.path!r} cannot be merged into the weights: {error}. Set "
            f"model.adapter.merge=false to keep it beside them."
        ) from None


def _refuse_tokens(adapter: AdapterSection, kind: str) -> None:
    """Refuse adapters that put tokens of their own before the text: they stand in no column of any table."""
    if kind in _WITH_TOKENS_OF_ITS_OWN:
        raise ConfigError(
            f"model.adapter.path: {adapter.path!r} is a {kind} adapter, which puts keys or tokens before the text that "
            f"stand for no word of it; such adapters are not covered. Adapters that change weights (LoRA and others) "
            f"are."
        )
