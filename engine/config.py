"""The run's configuration: strict pydantic models, YAML files and ``section.key=value`` overrides.

Unknown keys are refused with the nearest known name, and every error names the config file and the path of the key.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, coerce_numbers_to_str=True)


class RunSection(_Section):
    """Where a run lies and its seed."""

    name: str = Field(default="run", pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*$")
    output: str = "runs"
    seed: int = Field(default=0, ge=0)


class FieldsSection(_Section):
    """Names of the record's fields; the defaults are those of the users' file."""

    id: str | None = None
    cluster: str = "company_id"
    year: str = "year"
    actual: str = "actual_label"
    predicted: str = "predicted_direction"
    certainty: str = "certainty"
    magnitude: str = "magnitude"
    transcript: str = "full_model_response"
    prompt: str = "prompt"
    response: str = "response"
    messages: str = "messages"
    system: str = "system"


class PredictionsSection(_Section):
    """The predictions file and which rows of it are used."""

    path: str
    format: Literal["auto", "json", "jsonl", "parquet", "csv"] = "auto"
    fields: FieldsSection = FieldsSection()
    max_samples: int | None = Field(default=None, ge=1)
    balance: list[Literal["is_correct", "predicted_label", "actual_label"]] = []
    filter: dict[str, Any] = {}


class ModelSection(_Section):
    """The model that made the predictions."""

    path: str
    revision: str | None = None
    tokenizer: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    attention: Literal["auto", "blocked"] = "auto"
    trust_remote_code: bool = False


class PromptSection(_Section):
    """How the prompt is recovered from a record."""

    source: Literal["transcript", "fields", "messages"] = "transcript"
    chat_template: str | None = None
    system: str | None = None


class DecisionSection(_Section):
    """The labels and where in the answer they stand."""

    labels: dict[str, list[str]] = {
        "increase": ["increase", "increases", "increased"],
        "decrease": ["decrease", "decreases", "decreased"],
    }
    contrast: list[str] = []
    field: str | None = "direction_of_eps_change"
    locate: Literal["auto", "field", "text"] = "auto"

    @field_validator("labels", mode="before")
    @classmethod
    def _a_label_spells_itself(cls, value: Any) -> Any:
        if isinstance(value, list):
            value = {str(label): [] for label in value}
        if not isinstance(value, dict):
            return value
        return {str(label): [str(s) for s in spellings] if spellings else [str(label)]
                for label, spellings in value.items()}  # fmt: skip

    @model_validator(mode="after")
    def _contrast_is_two_labels(self) -> DecisionSection:
        if len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)} label(s), at least two are needed")
        if not self.contrast:
            self.contrast = list(self.labels)[:2]
        if self.locate == "field" and not self.field:
            raise ValueError("locate is 'field', which needs field, the name of the JSON field with the label")
        if len(self.contrast) != 2 or len(set(self.contrast)) != 2:
            raise ValueError(f"contrast is {self.contrast}, it must name two different labels")
        for label in self.contrast:
            if label not in self.labels:
                raise ValueError(f"contrast names {label!r}, which is not in labels {sorted(self.labels)}")
        seen: dict[str, str] = {}
        for label, spellings in self.labels.items():
            for spelling in spellings:
                other = seen.setdefault(spelling.casefold(), label)
                if other != label:
                    raise ValueError(f"spelling {spelling!r} stands for both {other!r} and {label!r}")
        return self


class GenerationSection(_Section):
    """Answers for rows without one (not available yet: such rows are rejected)."""

    enabled: Literal[False] = False
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    do_sample: bool = False
    seed: int = Field(default=0, ge=0)


class KeyGroup(_Section):
    """A set of token positions; exactly one way of saying which."""

    vocabulary: list[str] | None = None
    regex: str | None = None
    segment: str | None = None
    complement_of: str | None = None
    random_like: str | None = None

    @model_validator(mode="after")
    def _one_definition(self) -> KeyGroup:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {sorted(type(self).model_fields)}, not {given or 'none'}")
        return self


class PatternsSection(_Section):
    """Whole patterns to keep: which samples, layers and heads, under a byte limit."""

    samples: list[str] = Field(min_length=1)
    layers: list[int] = Field(min_length=1)
    heads: list[int] = Field(min_length=1)
    max_bytes: int = Field(default=256 * 2**20, ge=1)


class StatisticsSection(_Section):
    """What is measured beside the statistics that are always kept."""

    query_groups: list[str] = ["all", "decision", "response"]
    norm_weighted: bool = False
    random_groups: int = Field(default=0, ge=0, le=200)
    decision_rows: bool = False
    rollout: bool = False
    top_keys: int = Field(default=10, ge=0, le=1000)
    patterns: PatternsSection | None = None

    @field_validator("query_groups")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"query_groups is {value}, it must name at least one group, each once")
        return value


class AnalysisSection(_Section):
    """How the tables are tested; see ``analyses/settings.py``, which holds the same defaults."""

    groups: list[str | dict[str, Any]] = ["is_correct"]
    alpha: float = Field(default=0.05, gt=0, lt=1)
    correction: Literal["fdr_bh", "fdr_by", "holm", "bonferroni"] = "fdr_bh"
    permutations: int = Field(default=1000, ge=0)
    cluster_by: str = "cluster"
    covariates: list[str] = ["log_num_tokens"]
    confirmation_fraction: float = Field(default=0.3, ge=0, lt=1)
    head_types: dict[str, float] = {}


class VisualizationSection(_Section):
    """How charts look and in which formats they are written."""

    formats: list[Literal["html", "png", "svg", "pdf"]] = ["html", "png", "svg", "pdf"]
    theme: Literal["light", "dark"] = "light"
    color_schemes: dict[str, str] = {}
    figure_sizes: dict[str, int] = {}
    max_tokens: int = Field(default=60, ge=1)


class ClusterSection(_Section):
    """Where replicas run and how the work is cut."""

    mode: Literal["inline", "local", "auto"] = "auto"
    replicas: int | None = Field(default=None, ge=1)
    gpus_per_replica: float = Field(default=0, ge=0)
    cpus_per_replica: int = Field(default=1, ge=1)
    accelerator_type: str | None = None
    tokens_per_batch: int = Field(default=4096, ge=1)
    samples_per_shard: int = Field(default=32, ge=1)
    max_retries: int = Field(default=2, ge=0)


class Config(_Section):
    """Everything a run depends on."""

    run: RunSection = RunSection()
    predictions: PredictionsSection
    model: ModelSection
    prompt: PromptSection = PromptSection()
    decision: DecisionSection = DecisionSection()
    generation: GenerationSection = GenerationSection()
    vocabulary: str | dict[str, list[str]] | None = None
    key_groups: dict[str, KeyGroup] | None = None
    statistics: StatisticsSection = StatisticsSection()
    analysis: AnalysisSection = AnalysisSection()
    visualization: VisualizationSection = VisualizationSection()
    cluster: ClusterSection = ClusterSection()


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, so that labels such as yes and no stay words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")


def load_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> tuple[Config, dict[str, Any]]:
    """Read a YAML config, or a finished run's ``run.yaml``, and apply overrides.

    Parameters
    ----------
    path
        The file. A ``run.yaml`` is recognised by its ``config`` and ``fingerprints`` sections.
    overrides
        ``section.key=value`` strings; the value is read as YAML.

    Returns
    -------
    tuple of Config and dict
        The validated config and the fingerprints it must match (empty unless the file is a ``run.yaml``).

    Raises
    ------
    ConfigError
        When the file is missing or not YAML, or a key or value is not allowed.
    """
    path = Path(path)
    tree = _read_yaml(path)
    fingerprints: dict[str, Any] = {}
    if "fingerprints" in tree and isinstance(tree.get("config"), dict):
        fingerprints, tree = tree["fingerprints"], tree["config"]
    for override in overrides:
        _apply_override(tree, override)
    _refuse_unavailable(tree, path)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from None
    _find_relative_paths(config, path.parent)
    return config, fingerprints


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file. Start from config/demo.yaml or config/full.yaml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a UTF-8 text file: {error}.") from None
    try:
        tree = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold sections such as `predictions:` and `model:`, not {type(tree).__name__}.")
    return tree


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"{override!r} is not an override; write section.key=value, such as run.name=again.")
    *parents, last = key.strip().split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {parent!r} is a value, not a section.")
        node = child
    try:
        node[last] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not YAML: {' '.join(str(error).split())}.") from None


def _refuse_unavailable(tree: dict[str, Any], path: Path) -> None:
    """Refuse what the contract names and this version lacks; keys of it that are switched off may stand."""
    causal = tree.pop("causal", None)
    wanted = [name for name, value in causal.items() if value is not None] if isinstance(causal, dict) else causal
    missing = {"causal": wanted and "causal analyses", "generation.enabled": "", "model.attention": ""}
    if _at(tree, "generation", "enabled"):
        missing["generation.enabled"] = "generation for rows without an answer"
    if _at(tree, "model", "attention") == "fused":
        missing["model.attention"] = "the fused kernel (use auto or blocked)"
    groups = tree.get("key_groups")
    for name, group in groups.items() if isinstance(groups, dict) else ():
        if isinstance(group, dict) and group.get("spans"):
            missing[f"key_groups.{name}.spans"] = "line items and periods as key groups"
    for key, what in missing.items():
        if what:
            raise ConfigError(f"{path}: {key}: {what} cannot be had in this version yet; remove the key.")


def _at(tree: dict[str, Any], section: str, key: str) -> Any:
    part = tree.get(section)
    return part.get(key) if isinstance(part, dict) else None


def _explain(error: ValidationError, path: Path) -> str:
    """Say in one paragraph what is wrong with the first faulty keys."""
    parts: list[str] = []
    for item in error.errors()[:5]:
        location = ".".join(str(part) for part in item["loc"] if "[" not in str(part))
        value = item.get("input")
        if item["type"] == "extra_forbidden":
            parts.append(f"{location}: unknown key{_nearest(item['loc'])}")
        elif item["type"] == "missing":
            parts.append(f"{location}: is required and missing")
        else:
            shown = "" if isinstance(value, dict | BaseModel) else f" (given: {value!r})"
            parts.append(f"{location}: {item['msg'].removeprefix('Value error, ')}{shown}")
    return f"{path}: " + "; ".join(parts) + "."


def _nearest(location: tuple[int | str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = _section_type(fields[part].annotation)
    known = list(getattr(section, "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {'.'.join([*(str(p) for p in location[:-1]), close[0]])}?)"
    return f"; known keys are {', '.join(known)}"


def _section_type(annotation: Any) -> Any:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
        for inner in get_args(candidate):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                return inner
    return annotation


def _find_relative_paths(config: Config, folder: Path) -> None:
    """Let a path be relative to the working directory or else to the config file's folder."""

    def found(value: str) -> str:
        if not Path(value).exists() and (folder / value).exists():
            return str(folder / value)
        return value

    config.predictions.path = found(config.predictions.path)
    if config.prompt.chat_template is not None and "{" not in config.prompt.chat_template:
        config.prompt.chat_template = found(config.prompt.chat_template)
    config.model.path = found(config.model.path)
    if config.model.tokenizer is not None:
        config.model.tokenizer = found(config.model.tokenizer)
    if isinstance(config.vocabulary, str):
        config.vocabulary = found(config.vocabulary)
