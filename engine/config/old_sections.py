"""Sections of the old script's config → sections of this one: one function each, every change in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath

from engine.config.old_reasons import REASONS

Tree = dict[str, object]
"""A section as YAML gives it; values may be anything."""

_CORRECTIONS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "fdr_bh": "fdr_bh",
    "fdr": "fdr_bh",
    "bh": "fdr_bh",
    "benjamini-hochberg": "fdr_bh",
    "benjamini_hochberg": "fdr_bh",
    "fdr_by": "fdr_by",
}
_DTYPES = {
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float32": "float32",
    "fp32": "float32",
    "auto": "auto",
}
_FORMATS = ("html", "png", "svg", "pdf")
TAKEN_NAMES = {
    "number",
    "percentage",
    "year",
    "line_item",
    "current_period",
    "prior_period",
    "magnitude_large",
    "magnitude_small",
    "system",
    "statement",
    "instruction",
    "response",
    "reasoning",
    "beginning",
    "first_token",
    "vocabulary",
    "duplicate",
    "induction",
}
"""Names of built-in groups, which a category cannot have; written out, for a config loads no Arrow for its schema."""


class Translation:
    """A config on its way from old to new: its sections so far, a sentence per change, and the layers it named."""

    def __init__(self) -> None:
        self.sections: Tree = {}
        self.changes: list[str] = []
        self.layers: list[int | float] = []

    def section(self, name: str) -> Tree:
        """Return a section of the new config, made if need be."""
        content = self.sections.setdefault(name, {})
        return content if isinstance(content, dict) else {}

    def leave_out(self, section: str, rest: Mapping[str, object], *, within: str = "") -> None:
        """Name what has no counterpart, with the reason."""
        for key, value in rest.items():
            reason = next((why for part, why in REASONS[section].items() if part in key.lower()), None)
            sentence = reason or "has no counterpart that is known and is left out; config/full.yaml has every key"
            self.changes.append(f"{section}{within}.{key} ({_shown(value)}): {sentence}.")


def _model_config(work: Translation, old: Tree) -> None:
    model = work.section("model")
    name = _pop(old, "model_name", "name", "model_path", "path", "model_name_or_path")
    if name is not None:
        model["path"] = str(name)
    dtype = _pop(old, "torch_dtype", "dtype", "precision")
    if dtype is not None:
        model["dtype"] = _DTYPES.get(str(dtype).removeprefix("torch.").lower(), "auto")
        if model["dtype"] == "auto" and str(dtype) != "auto":
            work.changes.append(f"model_config: dtype {dtype!r} is not supported; auto takes the model's own.")
    device = _pop(old, "device", "device_map")
    if device is not None:
        plain = str(device).partition(":")[0]
        model["device"] = plain if plain in ("cpu", "cuda", "mps") else "auto"
        if model["device"] != str(device):
            work.changes.append(
                f"model_config: device {device!r} became {model['device']!r}; cluster.replicas says how many GPUs "
                f"are used."
            )
    model |= {key: old.pop(key) for key in ("revision", "trust_remote_code") if key in old}
    tokenizer = _pop(old, "tokenizer", "tokenizer_name")
    if tokenizer is not None:
        model["tokenizer"] = str(tokenizer)
    attention = _pop(old, "attn_implementation", "attention_implementation")
    if attention is not None:
        work.changes.append(
            f"model_config.attn_implementation ({attention!r}): statistics are computed inside an attention of our "
            f"own, compared with the model's first (model.attention: auto)."
        )
    work.leave_out("model_config", old)


def _generation_config(work: Translation, old: Tree) -> None:
    work.changes.append(
        "generation_config: sampling is replaced by replay: the recorded answers are analysed, not new ones that "
        "the model might not have given. Set generation.enabled: true for rows without an answer."
    )
    keys = ("max_new_tokens", "temperature", "top_p", "do_sample", "seed")
    generation = {key: old.pop(key) for key in keys if old.get(key) is not None}
    if generation.get("temperature") == 0:
        del generation["temperature"]
        generation["do_sample"] = False
    if generation:
        work.sections["generation"] = {"enabled": False, **generation}
    work.leave_out("generation_config", old)


def _attention_analysis(work: Translation, old: Tree) -> None:
    layers = [key for key in old if "layer" in key.lower()]
    for key in layers:
        work.layers += _numbers(old.pop(key))
    if layers:
        work.changes.append(
            f"attention_analysis.{', '.join(layers)}: every layer is measured in the same pass; a "
            f"choice of layers belongs in a query (WHERE layer …) or a hypothesis."
        )
    for key in [key for key, value in old.items() if "vocab" in key.lower() and isinstance(value, Mapping)]:
        _financial_vocabulary(work, _section(old.pop(key)))
    _tests(work, "attention_analysis", old)
    work.leave_out("attention_analysis", old)


def _tests(work: Translation, section: str, old: Tree) -> None:
    """Translate what any section says about statistical tests."""
    for key in [key for key, value in old.items() if "statistic" in key.lower() and isinstance(value, Mapping)]:
        old.update(_section(old.pop(key)))
    analysis = work.section("analysis")
    alpha = _pop(old, "significance_level", "alpha", "p_value_threshold", "significance_threshold")
    if alpha is not None:
        analysis["alpha"] = _as_number(alpha)
    given = _pop(
        old, "multiple_comparison_correction", "correction", "multiple_testing_correction", "correction_method"
    )
    if given is not None:
        analysis["correction"] = _CORRECTIONS.get(str(given).lower(), "fdr_bh")
        work.changes.append(
            f"{section}: the correction {given!r} is now applied, as analysis.correction: "
            f"{analysis['correction']}, over all heads and statistics."
        )
    for key in [key for key in old if "test" in key.lower()]:
        work.changes.append(
            f"{section}.{key} ({_shown(old.pop(key))}): one adjusted model per head, clustered by company, replaces "
            f"t-tests over pooled heads; Welch and Mann-Whitney stand beside it."
        )


def _financial_vocabulary(work: Translation, old: Tree) -> None:
    vocabulary = work.section("vocabulary")
    for category, terms in old.items():
        name = category
        if name in TAKEN_NAMES:
            name = f"{name}_terms"
            work.changes.append(
                f"financial_vocabulary.{category}: is the name of a key group of its own; the category is called "
                f"{name}."
            )
        flat = list(dict.fromkeys(_texts(terms)))
        if flat:
            vocabulary[name] = flat
        else:
            work.changes.append(f"financial_vocabulary.{category}: holds no term and is left out.")
    work.changes.append(
        "financial_vocabulary: terms are found as whole words and phrases by their characters, so "
        "that 'up' is not found in 'group' and 'net income' is found although it is two tokens."
    )


def _visualization_config(work: Translation, old: Tree) -> None:
    visualization = work.section("visualization")
    formats = _pop(old, "output_formats", "formats", "output_format", "save_format", "save_formats", "format")
    if formats is not None:
        listed = [str(item).lower().lstrip(".") for item in (formats if isinstance(formats, list) else [formats])]
        usable = [item for item in listed if item in _FORMATS] or ["html", "png"]
        visualization["formats"] = usable
        if usable != listed:
            work.changes.append(
                f"visualization_config: formats {listed} became {usable}; known are {', '.join(_FORMATS)}."
            )
    tokens = _pop(old, "max_tokens", "max_tokens_to_display", "max_tokens_display", "max_display_tokens")
    if tokens is not None:
        visualization["max_tokens"] = _as_number(tokens)
    work.leave_out("visualization_config", old)


def _intervention_experiments(work: Translation, old: Tree) -> None:
    enabled = _pop(old, "enabled", "run_interventions")
    factors = _numbers(_pop(old, "amplification_factors", "scaling_factors", "amplification_values"))
    for key in list(old):
        if isinstance(old[key], Mapping) and any(part in key.lower() for part in ("ablation", "amplif", "head")):
            inner = _section(old.pop(key))
            enabled = inner.pop("enabled", enabled)
            for name in [name for name in inner if "factor" in name]:
                factors += _numbers(inner.pop(name))
            for name in [name for name in inner if "layer" in name.lower()]:
                work.layers += _numbers(inner.pop(name))
            work.leave_out("intervention_experiments", inner, within=f".{key}")
    for key in [key for key in old if "layer" in key.lower()]:
        work.layers += _numbers(old.pop(key))
    if enabled:
        causal: Tree = {"attribution": {}, "ablation": {"heads": {"top": 20}, "replace": "zero"}}
        if factors:
            causal["amplification"] = {"heads": {"top": 20}, "factors": [float(factor) for factor in factors]}
        work.sections["causal"] = causal
        work.changes.append(
            "intervention_experiments: became the section causal: the 20 heads that matter most by "
            "attribution are ablated at the input of o_proj, where a head's output stands alone."
        )
    else:
        work.changes.append(
            "intervention_experiments: was not enabled; add a section causal (docs/causal.md) for "
            "ablation, amplification, knockouts and patching."
        )
    work.leave_out("intervention_experiments", old)


def _comparative_analysis(work: Translation, old: Tree) -> None:
    hypotheses = _pop(old, "hypotheses", "hypothesis")
    analysis = work.section("analysis")
    if hypotheses is not None:
        analysis["hypotheses"] = list(dict.fromkeys(_texts(hypotheses)))
        work.changes.append(
            "comparative_analysis.hypotheses: became analysis.hypotheses; each sentence gets a "
            "verdict, or is named as not understood."
        )
    _tests(work, "comparative_analysis", old)
    work.leave_out("comparative_analysis", old)


def _output_config(work: Translation, old: Tree) -> None:
    folder = _pop(old, "output_dir", "base_dir", "results_dir", "output_directory", "base_output_dir", "path")
    if folder is not None:
        path = PurePath(str(folder))
        work.sections["run"] = {"output": str(path.parent), "name": path.name or "run"}
        work.changes.append(f"output_config: {str(folder)!r} is the run directory; results lie in its folder analysis.")
    work.leave_out("output_config", old)


TRANSLATORS: dict[str, Callable[[Translation, Tree], None]] = {
    "model_config": _model_config,
    "generation_config": _generation_config,
    "attention_analysis": _attention_analysis,
    "financial_vocabulary": _financial_vocabulary,
    "visualization_config": _visualization_config,
    "intervention_experiments": _intervention_experiments,
    "comparative_analysis": _comparative_analysis,
    "output_config": _output_config,
}
"""What each section of the old config becomes."""


def _section(value: object) -> Tree:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _pop(old: Tree, *names: str) -> object:
    """Take the first of some names that is there."""
    return next((old.pop(name) for name in names if old.get(name) is not None), None)


def _as_number(value: object) -> object:
    """Return a number that was written as text; what is none stays as it is, and the config refuses it by its key."""
    with contextlib.suppress(ValueError):
        return int(str(value))
    with contextlib.suppress(ValueError):
        return float(str(value))
    return value


def _numbers(value: object) -> list[int | float]:
    """Return every number inside nested lists and mappings."""
    return [item for item in _leaves(value) if isinstance(item, int | float) and not isinstance(item, bool)]


def _texts(value: object) -> list[str]:
    """Return every text inside nested lists and mappings."""
    return [str(item).strip() for item in _leaves(value) if item is not None and str(item).strip()]


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
