"""Objects around a model: what they are, and which of their parts is the model."""

from __future__ import annotations

from engine.errors import UserError

_BY_CLASS: dict[str, tuple[str, str]] = {
    "DataParallel": ("runs copies of a model on several GPUs", "model.module"),
    "DistributedDataParallel": ("runs a copy of a model in each of several processes", "model.module"),
    "FullyShardedDataParallel": (
        "holds a share of the weights in each process",
        "the whole model: load the checkpoint anew with AutoModelForCausalLM.from_pretrained",
    ),
    "DeepSpeedEngine": ("trains a model", "model.module, with whole weights (no ZeRO stage 3)"),
    "OptimizedModule": ("is what torch.compile made of a model", "model._orig_mod"),
    "PeftModel": ("is a model with an adapter beside its weights", "model.merge_and_unload()"),
    "PeftMixedModel": ("is a model with adapters beside its weights", "model.merge_and_unload()"),
    "Pipeline": ("is a pipeline around a model", "pipeline.model (and pipeline.tokenizer)"),
    "Trainer": ("trains a model", "trainer.model"),
    "LightningModule": ("trains a model", "the transformers model that it holds, such as module.model"),
    "SentenceTransformer": ("embeds sentences", "a decoder loaded by AutoModelForCausalLM.from_pretrained"),
    "AutoModelForCausalLMWithValueHead": ("is a model with a value head (trl)", "model.pretrained_model"),
    "LLM": ("is an inference server's model", "the same weights by AutoModelForCausalLM.from_pretrained"),
    "Llama": ("is a model of llama.cpp", "the same model by AutoModelForCausalLM.from_pretrained, not the GGUF file"),
}
"""What wraps a model, by the name of the class or of one that it is made from, and what to give instead."""


def refuse_wrapped(model: object, what: str = "model") -> None:
    """Refuse what is not a model of transformers itself, whose attention could be replaced.

    Parameters
    ----------
    model
        What was given.
    what
        The argument's name.

    Raises
    ------
    UserError
        Naming what to give instead.
    """
    name = type(model).__name__
    for kind in type(model).__mro__:
        if kind.__name__ in _BY_CLASS and not kind.__module__.startswith("transformers.models"):
            says, instead = _BY_CLASS[kind.__name__]
            inner = _inner(model)
            more = f" There it is {inner}, and what that needs counts too." if inner else ""
            raise UserError(
                f"{what}: {name} {says}, and is no model whose attention can be looked at. Give {instead}.{more}"
            )
    if isinstance(model, str):
        raise UserError(
            f"{what}: {model!r} is a name. Load the model first, AutoModelForCausalLM.from_pretrained({model!r}), and "
            f"give what that returns."
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise UserError(
            f"{what}: {name} has an adapter loaded beside its weights (load_adapter). Merge it first: load it by "
            f"peft.PeftModel.from_pretrained and give model.merge_and_unload()."
        )
    if not hasattr(model, "config") or not callable(getattr(model, "modules", None)):
        raise UserError(
            f"{what}: {name} is no model of transformers (it has no config and modules). Give what "
            f"AutoModelForCausalLM.from_pretrained(…) returns."
        )


def _inner(model: object) -> str:
    """Return the class of what is wrapped, where that is a wrapper again."""
    for name in ("module", "_orig_mod", "model"):
        part = vars(model).get("_modules", {}).get(name) if hasattr(model, "__dict__") else None
        if part is not None and any(kind.__name__ in _BY_CLASS for kind in type(part).__mro__):
            return type(part).__name__
    return ""
