"""The run's configuration as strict pydantic models; ``config_file`` reads them from YAML."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from engine.causal_settings import CausalSection
from engine.config_section import STRICT


class _Section(BaseModel):
    model_config = STRICT


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


FILTER_WORDS = ("min", "max", "not")
"""What a filter on a field may say beside the values to keep: inclusive bounds, and values to leave out."""

BALANCE_COLUMNS = ("is_correct", "predicted_label", "actual_label", "label_source", "certainty", "magnitude", "year",
                   "cluster")  # fmt: skip
"""What ``predictions.balance`` may name beside the fields of ``predictions.keep``."""


def _bound_kind(limit: Any) -> str | None:
    if isinstance(limit, int | float) and not isinstance(limit, bool):
        return "number"
    return "date" if as_date(limit) else None


def as_date(value: Any) -> date | None:
    """Return the day of a date, a time or a text that begins with an ISO date (1990-12-31); None when it is none."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


class PredictionsSection(_Section):
    """The predictions file, or files, and which rows are used.

    ``path`` is a file, a glob pattern or a folder. ``keep`` names record fields that become columns ``field_<name>`` of
    ``samples``, as text or as numbers.
    """

    path: str
    format: Literal["auto", "json", "jsonl", "parquet", "csv"] = "auto"
    fields: FieldsSection = FieldsSection()
    max_samples: int | None = Field(default=None, ge=1)
    balance: list[str] = []
    filter: dict[str, Any] = {}
    keep: dict[str, Literal["text", "number"]] = {}

    @field_validator("keep", mode="before")
    @classmethod
    def _text_by_default(cls, value: Any) -> Any:
        return {str(name): "text" for name in value} if isinstance(value, list) else value

    @field_validator("filter")
    @classmethod
    def _ranges_have_bounds(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, wanted in value.items():
            if not isinstance(wanted, dict):
                continue
            if not wanted or set(wanted) - set(FILTER_WORDS):
                raise ValueError(
                    f"filter.{name} is {wanted}; give a value, a list of values, or a mapping with "
                    f"{', '.join(FILTER_WORDS)}"
                )
            kinds = {_bound_kind(wanted[bound]) for bound in ("min", "max") if bound in wanted}
            if None in kinds or len(kinds) > 1:
                limits = {bound: wanted[bound] for bound in ("min", "max") if bound in wanted}
                raise ValueError(f"filter.{name} is {limits}; bounds are numbers, or dates such as 1990-12-31")
            # YAML reads an unquoted date as one; text is what run.yaml can hold.
            value[name] = {word: str(limit) if isinstance(limit, date) else limit for word, limit in wanted.items()}
        return value

    @model_validator(mode="after")
    def _balance_is_known(self) -> PredictionsSection:
        for name in self.balance:
            if name not in (*BALANCE_COLUMNS, *self.keep):
                raise ValueError(
                    f"balance names {name!r}; it can be {', '.join(BALANCE_COLUMNS)} or a field of predictions.keep"
                )
        return self


_MEMORY_SIZE = re.compile(r"\d+(\.\d+)?([KMG]i?B)")


class ModelSection(_Section):
    """The model that made the predictions.

    ``device_map`` spreads a model that is larger than a GPU: ``auto`` fills the replica's GPUs
    (``cluster.gpus_per_replica``), then memory, then disk, within ``max_memory`` (bytes by GPU number and ``cpu``, such
    as ``{0: 30GiB, cpu: 100GiB}``); or a mapping from module names to GPU numbers within the replica, ``cpu`` or
    ``disk``. Without it, several GPUs per replica are filled evenly and nothing may lie outside.
    ``trust_remote_code`` runs code that comes with the model; ``allow_pickle`` reads weights from pickles
    (``pytorch_model.bin``) where there are no safetensors. Both are off: either can run anything.
    """

    path: str
    revision: str | None = None
    tokenizer: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    attention: Literal["auto", "blocked", "fused"] = "auto"
    device_map: Literal["auto"] | dict[str, int | Literal["cpu", "disk"]] | None = None
    max_memory: dict[str, int | str] | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

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


class PromptSection(_Section):
    """How the prompt is recovered from a record."""

    source: Literal["transcript", "fields", "messages"] = "transcript"
    chat_template: str | None = None
    system: str | None = None


class DecisionSection(_Section):
    """The labels and where in the answer they stand.

    ``negations`` are words that deny a label within the next three words ("not expected to increase").
    ``field`` is the answer's JSON field with the label; ``certainty_field`` and ``magnitude_field`` are read from the
    answer where the record itself has none.
    """

    labels: dict[str, list[str]] = {
        "increase": ["increase", "increases", "increased"],
        "decrease": ["decrease", "decreases", "decreased"],
    }
    contrast: list[str] = []
    field: str | None = "direction_of_eps_change"
    certainty_field: str | None = "certainty_of_assessment"
    magnitude_field: str | None = "magnitude_of_change"
    negations: list[str] = ["not", "no", "never", "neither", "nor", "without", "unlikely", "fail", "fails", "non",
                            "cannot", "n't", "nicht", "kein", "keine", "keinen", "不", "没有"]  # fmt: skip
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
    """Answers for rows that have none: greedy unless ``do_sample``, then seeded."""

    enabled: bool = False
    batch_size: int = Field(default=8, ge=1)
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
    spans: str | None = None
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
    """What is measured beside the statistics that are always kept.

    ``decision_rows`` keeps each layer's decision row averaged over heads; a list of sample ids keeps those samples'
    rows head by head as well.
    """

    query_groups: list[str] = ["all", "decision", "response"]
    norm_weighted: bool = False
    random_groups: int = Field(default=0, ge=0, le=200)
    decision_rows: bool | list[str] = False
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
    families: list[dict[str, Any]] = []
    correction: Literal["fdr_bh", "fdr_by", "holm", "bonferroni"] = "fdr_bh"
    errors: Literal["auto", "cr1", "cr2", "wild_bootstrap"] = "auto"
    permutations: int = Field(default=1000, ge=0)
    cluster_by: str = "cluster"
    covariates: list[str] = ["log_num_tokens"]
    confirmation_fraction: float = Field(default=0.3, ge=0, lt=1)
    strata: list[str | dict[str, Any]] = ["year", "num_prompt_tokens"]
    correlations: list[str] = ["certainty", "probability", "magnitude", "year"]
    decodability: dict[str, Any] | Literal[False] | None = {}
    hypotheses: list[str | dict[str, Any]] | None = None
    head_types: dict[str, float] = {}


class VisualizationSection(_Section):
    """How charts look and in which formats they are written."""

    formats: list[Literal["html", "png", "svg", "pdf", "json"]] = ["html", "png", "svg", "pdf"]
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

    @field_validator("gpus_per_replica")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"gpus_per_replica is {value:g}; give a share of one GPU, such as 0.5, or a whole number")
        return value


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
    causal: CausalSection = CausalSection()
    analysis: AnalysisSection = AnalysisSection()
    visualization: VisualizationSection = VisualizationSection()
    cluster: ClusterSection = ClusterSection()
