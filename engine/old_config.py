"""The old script's ``interpretability_config.yaml``: recognised by its sections, translated, every change named.

Nothing is dropped in silence: a key that has no counterpart is named with the reason, or as one that is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

SECTIONS = ("model_config", "generation_config", "attention_analysis", "financial_vocabulary", "visualization_config",
            "intervention_experiments", "comparative_analysis", "output_config")  # fmt: skip

_KNOWN_LAYERS = {"qwen2-7b": 28, "qwen2-1.5b": 28, "qwen2-0.5b": 24}
"""Layers of the models that the old config was written for; layer 31 of 32 does not exist in any of them."""

_CORRECTIONS = {"bonferroni": "bonferroni", "holm": "holm", "fdr_bh": "fdr_bh", "fdr": "fdr_bh", "bh": "fdr_bh",
                "benjamini-hochberg": "fdr_bh", "benjamini_hochberg": "fdr_bh", "fdr_by": "fdr_by"}  # fmt: skip
_DTYPES = {"float16": "float16", "fp16": "float16", "half": "float16", "bfloat16": "bfloat16", "bf16": "bfloat16",
           "float32": "float32", "fp32": "float32", "auto": "auto"}  # fmt: skip
_FORMATS = ("html", "png", "svg", "pdf")
_TAKEN = {"number", "percentage", "year", "line_item", "current_period", "prior_period", "magnitude_large",
          "magnitude_small", "system", "statement", "instruction", "response", "reasoning", "beginning", "first_token",
          "vocabulary", "duplicate", "induction"}  # fmt: skip
"""Names of default key groups, which a vocabulary's category cannot have."""


def is_old(tree: Mapping[str, Any]) -> bool:
    """Whether a config file is one of the old script."""
    return any(section in tree for section in SECTIONS) and "model" not in tree


def translated(tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return an old config as a new one, and a sentence for each change.

    Sections of the new config that stand beside the old ones are kept as they are.
    """
    work = _Translation()
    for section, content in tree.items():
        if section not in SECTIONS:
            work.new[section] = content
            continue
        handle: Callable[[Any], None] = getattr(work, f"_{section}")
        if content is not None and not isinstance(content, Mapping):
            work.changes.append(f"{section}: is {content!r}, no section; it is left out.")
            continue
        handle(dict(content or {}))
    work.finish()
    return work.new, work.changes


class _Translation:
    """A config on its way from old to new."""

    def __init__(self) -> None:
        self.new: dict[str, Any] = {}
        self.changes: list[str] = []
        self.layers: list[int] = []

    def _section(self, name: str) -> dict[str, Any]:
        return self.new.setdefault(name, {})

    def _left_out(self, section: str, rest: Mapping[str, Any], reasons: Mapping[str, str]) -> None:
        """Name what has no counterpart."""
        for key, value in rest.items():
            reason = next((why for part, why in reasons.items() if part in key.lower()), None)
            said = reason or "has no counterpart that is known and is left out; config/full.yaml has every key"
            self.changes.append(f"{section}.{key} ({_shown(value)}): {said}.")

    def _model_config(self, old: dict[str, Any]) -> None:
        model = self._section("model")
        name = _pop(old, "model_name", "name", "model_path", "path", "model_name_or_path")
        if name is not None:
            model["path"] = str(name)
        dtype = _pop(old, "torch_dtype", "dtype", "precision")
        if dtype is not None:
            model["dtype"] = _DTYPES.get(str(dtype).removeprefix("torch.").lower(), "auto")
            if model["dtype"] == "auto" and str(dtype) != "auto":
                self.changes.append(f"model_config: dtype {dtype!r} is not supported; auto takes the model's own.")
        device = _pop(old, "device", "device_map")
        if device is not None:
            plain = str(device).partition(":")[0]
            model["device"] = plain if plain in ("cpu", "cuda", "mps") else "auto"
            if model["device"] != str(device):
                self.changes.append(f"model_config: device {device!r} became {model['device']!r}; cluster.replicas "
                                    f"says how many GPUs are used.")  # fmt: skip
        for key in ("revision", "trust_remote_code"):
            if key in old:
                model[key] = old.pop(key)
        tokenizer = _pop(old, "tokenizer", "tokenizer_name")
        if tokenizer is not None:
            model["tokenizer"] = str(tokenizer)
        attention = _pop(old, "attn_implementation", "attention_implementation")
        if attention is not None:
            self.changes.append(
                f"model_config.attn_implementation ({attention!r}): statistics are computed inside an "
                f"attention of our own, compared with the model's first (model.attention: auto)."
            )
        self._left_out("model_config", old, {
            "memory": "no patterns are kept, so that no limit is needed (the plan predicts the memory)",
            "cache": "set HF_HOME instead", "load_in": "quantised weights are not supported; the dtype above is used",
            "output_attentions": "patterns are reduced inside the forward pass and never returned",
            "num_layers": "is read from the model itself", "num_hidden_layers": "is read from the model itself",
            "heads": "is read from the model itself", "hidden": "is read from the model itself",
            "max_length": "nothing is truncated; samples longer than the model's context are rejected with a reason",
        })  # fmt: skip

    def _generation_config(self, old: dict[str, Any]) -> None:
        self.changes.append(
            "generation_config: sampling is replaced by replay: the recorded answers are analysed, not new ones that "
            "the model might not have given. Set generation.enabled: true for rows without an answer."
        )
        generation: dict[str, Any] = {}
        for key in ("max_new_tokens", "temperature", "top_p", "do_sample", "seed"):
            if old.get(key) is not None:
                generation[key] = old.pop(key)
        if generation.get("temperature") == 0:
            del generation["temperature"]
            generation["do_sample"] = False
        if generation:
            self.new["generation"] = {"enabled": False, **generation}
        self._left_out("generation_config", old, {
            "attentions": "patterns are reduced inside the forward pass and never returned",
            "return_dict": "is not needed", "hidden_states": "is not needed", "cache": "is not needed",
            "max_length": "nothing is truncated", "pad": "is read from the tokenizer",
            "eos": "is read from the tokenizer",
        })  # fmt: skip

    def _attention_analysis(self, old: dict[str, Any]) -> None:
        wanted = [key for key in old if "layer" in key.lower()]
        for key in wanted:
            self.layers += list(_numbers(old.pop(key)))
        if wanted:
            self.changes.append(f"attention_analysis.{', '.join(wanted)}: every layer is measured in the same pass; a "
                                f"choice of layers belongs in a query (WHERE layer …) or a hypothesis.")  # fmt: skip
        for key in [key for key in old if "vocab" in key.lower() and isinstance(old[key], Mapping)]:
            self._financial_vocabulary(dict(old.pop(key)))
        self._tests("attention_analysis", old)
        self._left_out("attention_analysis", old, {
            "head": "every head is measured", "aggregat": "samples are the unit; heads and layers are never pooled",
            "normal": "rows of a pattern sum to 1 by definition",
            "save": "statistics are kept, whole patterns only under statistics.patterns",
            "threshold": "analysis.head_types holds the thresholds of head types",
            "token": "key groups say which tokens count; docs/input.md",
        })  # fmt: skip

    def _tests(self, section: str, old: dict[str, Any]) -> None:
        """Translate what any section says about statistical tests."""
        nested = [key for key in old if "statistic" in key.lower() and isinstance(old[key], Mapping)]
        for key in nested:
            old.update(old.pop(key))
        analysis = self._section("analysis")
        alpha = _pop(old, "significance_level", "alpha", "p_value_threshold", "significance_threshold")
        if alpha is not None:
            analysis["alpha"] = float(alpha)
        given = _pop(old, "multiple_comparison_correction", "correction", "multiple_testing_correction",
                     "correction_method")  # fmt: skip
        if given is not None:
            analysis["correction"] = _CORRECTIONS.get(str(given).lower(), "fdr_bh")
            self.changes.append(f"{section}: the correction {given!r} is now applied, as analysis.correction: "
                                f"{analysis['correction']}, over all heads and statistics.")  # fmt: skip
        tests = [key for key in old if "test" in key.lower()]
        for key in tests:
            self.changes.append(f"{section}.{key} ({_shown(old.pop(key))}): one adjusted model per head, clustered by "
                                f"company, replaces t-tests over pooled heads; Welch and Mann-Whitney stand beside "
                                f"it.")  # fmt: skip

    def _financial_vocabulary(self, old: dict[str, Any]) -> None:
        vocabulary = self._section("vocabulary")
        for category, terms in old.items():
            flat = list(dict.fromkeys(_texts(terms)))
            name = str(category)
            if name in _TAKEN:
                name = f"{name}_terms"
                self.changes.append(f"financial_vocabulary.{category}: is the name of a key group of its own; the "
                                    f"category is called {name}.")  # fmt: skip
            if not flat:
                self.changes.append(f"financial_vocabulary.{category}: holds no term and is left out.")
                continue
            vocabulary[name] = flat
        self.changes.append(
            "financial_vocabulary: terms are found as whole words and phrases by their characters, so "
            "that 'up' is not found in 'group' and 'net income' is found although it is two tokens."
        )

    def _visualization_config(self, old: dict[str, Any]) -> None:
        look = self._section("visualization")
        formats = _pop(old, "output_formats", "formats", "output_format", "save_format", "save_formats", "format")
        if formats is not None:
            listed = [str(item).lower().lstrip(".") for item in (formats if isinstance(formats, list) else [formats])]
            look["formats"] = [item for item in listed if item in _FORMATS] or ["html", "png"]
            if look["formats"] != listed:
                self.changes.append(f"visualization_config: formats {listed} became {look['formats']}; known are "
                                    f"{', '.join(_FORMATS)}.")  # fmt: skip
        tokens = _pop(old, "max_tokens", "max_tokens_to_display", "max_tokens_display", "max_display_tokens")
        if tokens is not None:
            look["max_tokens"] = int(tokens)
        self._left_out("visualization_config", old, {
            "color": "Vega's colour schemes have other names; choose them in visualization.color_schemes",
            "colour": "Vega's colour schemes have other names; choose them in visualization.color_schemes",
            "figure": "sizes are pixels now: visualization.figure_sizes: {width: 640, height: 360}",
            "dpi": "png files have twice the pixels of the page; svg and pdf have none", "font": "is the theme's",
            "style": "visualization.theme is light or dark", "interactive": "html charts are interactive",
        })  # fmt: skip

    def _intervention_experiments(self, old: dict[str, Any]) -> None:
        enabled = _pop(old, "enabled", "run_interventions")
        values = list(_numbers(_pop(old, "amplification_factors", "scaling_factors", "amplification_values")))
        for key in list(old):
            if isinstance(old[key], Mapping) and any(part in key.lower() for part in ("ablation", "amplif", "head")):
                inner = dict(old.pop(key))
                enabled = inner.pop("enabled", enabled)
                values += [v for name in list(inner) if "factor" in name for v in _numbers(inner.pop(name))]
                for name in [name for name in inner if "layer" in name.lower()]:
                    self.layers += list(_numbers(inner.pop(name)))
                self._left_out(f"intervention_experiments.{key}", inner, _HEADS)
        self.layers += [n for key in [k for k in old if "layer" in k.lower()] for n in _numbers(old.pop(key))]
        if enabled:
            self.new["causal"] = {"attribution": {}, "ablation": {"heads": {"top": 20}, "replace": "zero"}}
            if values:
                self.new["causal"]["amplification"] = {"heads": {"top": 20}, "factors": [float(v) for v in values]}
            self.changes.append(
                "intervention_experiments: became the section causal: the 20 heads that matter most by "
                "attribution are ablated at the input of o_proj, where a head's output stands alone."
            )
        else:
            self.changes.append("intervention_experiments: was not enabled; add a section causal (docs/causal.md) for "
                                "ablation, amplification, knockouts and patching.")  # fmt: skip
        self._left_out("intervention_experiments", old, _HEADS)

    def _comparative_analysis(self, old: dict[str, Any]) -> None:
        analysis = self._section("analysis")
        found = _pop(old, "hypotheses", "hypothesis")
        if found is not None:
            analysis["hypotheses"] = list(dict.fromkeys(_texts(found)))
            self.changes.append("comparative_analysis.hypotheses: became analysis.hypotheses; each sentence gets a "
                                "verdict, or is named as not understood.")  # fmt: skip
        self._tests("comparative_analysis", old)
        self._left_out("comparative_analysis", old, {
            "group": "correct and incorrect predictions are compared (analysis.groups)",
            "compar": "correct and incorrect predictions are compared (analysis.groups)",
            "sample": "--max_samples or predictions.max_samples says how many samples are used",
            "metric": "every statistic of every head is compared", "balance": "predictions.balance draws equal shares",
            "effect": "Hedges g stands beside every difference", "bootstrap": "analysis.errors: wild_bootstrap",
            "permutation": "analysis.permutations says how many",
        })  # fmt: skip

    def _output_config(self, old: dict[str, Any]) -> None:
        folder = _pop(old, "output_dir", "base_dir", "results_dir", "output_directory", "base_output_dir", "path")
        if folder is not None:
            path = PurePath(str(folder))
            self.new["run"] = {"output": str(path.parent), "name": path.name or "run"}
            self.changes.append(f"output_config: {str(folder)!r} is the run directory; results lie in its folder "
                                f"analysis.")  # fmt: skip
        self._left_out("output_config", old, {
            "matri": "statistics are kept instead of matrices; statistics.patterns keeps some of them",
            "attention": "statistics are kept instead of matrices; statistics.patterns keeps whole patterns",
            "json": "both JSON files are always written, with summaries", "summary": "is always written",
            "report": "is always written", "visual": "charts are always written", "log": "--debug is verbose",
            "save": "results are always saved", "dir": "the run directory has its own folders",
        })  # fmt: skip

    def finish(self) -> None:
        """Say what holds for the whole config."""
        name = str(self.new.get("model", {}).get("path", "")).lower()
        known = next((number for part, number in _KNOWN_LAYERS.items() if part in name), None)
        beyond = sorted({layer for layer in self.layers if known is not None and layer >= known})
        if beyond:
            self.changes.append(f"Layer(s) {', '.join(map(str, beyond))} do not exist: this model has {known} layers, "
                                f"0 to {(known or 1) - 1}.")  # fmt: skip
        elif self.layers and known is None:
            self.changes.append(f"Layers up to {max(self.layers)} were named; those that the model does not have are "
                                f"nowhere needed, since its own number of layers is read from it.")  # fmt: skip
        if "correction" not in self.new.get("analysis", {}):
            self.changes.append("Correction for multiple tests is now applied: analysis.correction: fdr_bh over all "
                                "heads and statistics (the old script named p-values without any).")  # fmt: skip
        if not self.new.get("analysis", {"": 0}):
            del self.new["analysis"]
        self.new.setdefault("statistics", {"random_groups": 20} if self.new.get("vocabulary") else {})
        if not self.new["statistics"]:
            del self.new["statistics"]


_HEADS = {
    "head": "name heads in causal.ablation.heads: [[layer, head], …]",
    "method": "causal.ablation.replace is zero, mean or resample",
    "type": "causal.ablation.replace is zero, mean or resample",
    "value": "causal.ablation.replace is zero, mean or resample",
    "sample": "causal.max_samples says how many samples are explained",
}


def _pop(old: dict[str, Any], *names: str) -> Any:
    """Take the first of some names that is there."""
    return next((old.pop(name) for name in names if old.get(name) is not None), None)


def _numbers(value: Any) -> Iterator[Any]:
    """Yield every number inside nested lists and mappings."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _texts(value: Any) -> Iterator[str]:
    """Yield every text inside nested lists and mappings."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None and str(value).strip():
        yield str(value).strip()


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
