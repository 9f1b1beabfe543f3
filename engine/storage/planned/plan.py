"""What ``plan.json`` says of a run, as a typed record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, TypedDict


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """What a plan knew of the model; None where its config was not at hand."""

    num_layers: int | None
    num_heads: int | None
    num_parameters: int | None
    max_tokens: int | None
    dtype: str
    quantisation: str | None = None
    headless_layers: list[int] = field(default_factory=list)
    """Layers without attention heads: recurrent ones, convolutions, MLPs alone."""


@dataclass(frozen=True, slots=True)
class PredictedFlop:
    """The arithmetic of a plan.

    Attributes
    ----------
    measure, causal
        Multiplications and additions of measuring all samples once, and of explaining them.
    pairs
        Layers x heads x pairs of a row and a key that it sees.
    check
        Arithmetic of the check before measuring: three forwards of one sample of each regime of lengths.
    reading
        The part of ``measure`` that reads patterns a second time (``statistics.reading_focus`` and ``received``), where
        the backend does not hold them in the first.
    fetching
        The part of ``measure`` that ``statistics.retrieval`` takes: scores of the answer's rows once more, and what the
        prompt's tokens write.
    """

    measure: float
    causal: float
    pairs: float
    check: float = 0.0
    reading: float = 0.0
    fetching: float = 0.0


class ChosenStratum(TypedDict):
    """How many samples of one stratum there are, and how many were chosen."""

    stratum: dict[str, object]
    available: int
    selected: int


class Selection(TypedDict):
    """How the samples of a plan were chosen from its rows."""

    max_samples: int | None
    seed: int
    balance: list[str]
    filter: dict[str, object]
    num_available: int
    num_selected: int
    strata: list[ChosenStratum]


class LabelValues(TypedDict):
    """What a label field of the records holds: rows by value, the most frequent ones, and numbers of all rows."""

    known: dict[str, int]
    unknown: dict[str, int]
    num_known: int
    num_unknown: int
    num_other_values: int
    num_empty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What ``plan.json`` holds, in its order.

    Attributes
    ----------
    num_rows, num_samples, num_rejects
        Rows of the input, those to be measured, and those turned away so far.
    num_rows_split, num_answers_apart
        Rows of the files that hold several answers, and these answers, which ``num_rows`` counts one by one.
    samples_by_label_source, samples_by_predicted_label, samples_by_actual_label, samples_by_is_correct, samples_by_flag
        Samples by value, the most frequent first; ``None`` stands for no value.
    samples_by_sequence_source, num_samples_with_thought
        The same by ``sequence_source``, and samples of which some tokens are a thought; plans of schema 1.0 have none.
    empty_key_groups
        Key groups that no sample has a token of.
    num_tokens, max_sample_tokens, max_batch_tokens
        Tokens of all samples, of the longest one, and of the largest packed batch, in which shared ones count once.
    num_shared_tokens, num_sharing_samples
        Tokens of ``num_tokens`` that are computed with another sample that begins with the same ones, and the samples
        that these belong to.
    num_prefixes_again
        How often a shard has samples that begin like those of a shard before it, with which they share nothing.
    why_unshared
        Why tokens that could be computed once are computed for each sample; empty where they are not.
    predicted_memory_bytes, predicted_weight_bytes, predicted_bytes_per_token, predicted_flop, predicted_disk_bytes
        What it takes; None where nothing is known of the model.
    predicted_reading_bytes
        The part of ``predicted_disk_bytes`` that ``statistics.reading_focus`` and ``received`` take.
    num_samples_without_answer, num_samples_without_sentences
        Samples for which ``reading_focus``, and what sentences receive, have no rows, where they are asked for.
    examples_of_rejects
        Id and detail of the first reject of each reason.
    is_causal
        Whether causal units follow the measure units.
    random_vocabularies
        Words of every key group that was drawn.
    label_values
        What the record's label fields hold, by the field's name.
    answers_by_language
        Rows by the language that their answer was read in, the most frequent first.
    warnings
        What the samples cannot show, though they can be measured.
    checksums
        SHA-256 of the files that say what must be in the run.
    """

    num_rows: int
    num_samples: int
    num_rejects: int
    num_rows_split: int = 0
    num_answers_apart: int = 0
    rejects_by_reason: dict[str, int]
    """Rows turned away so far, by reason."""
    samples_by_label_source: dict[str, int]
    samples_by_predicted_label: dict[str, int]
    samples_by_actual_label: dict[str, int]
    samples_by_is_correct: dict[str, int]
    samples_by_flag: dict[str, int]
    samples_by_sequence_source: dict[str, int] = field(default_factory=dict)
    num_samples_with_thought: int = 0
    num_decision_positions: int
    """Samples whose decision position was found."""
    num_samples_with_statement: int
    """Samples that hold a financial statement."""
    num_samples_with_periods: int
    """Samples whose statement has periods."""
    empty_key_groups: list[str]
    num_tokens: int
    max_sample_tokens: int
    num_shards: int
    """Units that are measured and committed, one by one."""
    num_batches: int
    """Packed batches."""
    max_batch_tokens: int
    num_shared_tokens: int = 0
    num_sharing_samples: int = 0
    num_prefixes_again: int = 0
    why_unshared: str = ""
    predicted_memory_bytes: int | None
    predicted_weight_bytes: int | None
    predicted_bytes_per_token: int | None
    predicted_flop: PredictedFlop | None = None
    predicted_disk_bytes: int | None
    predicted_reading_bytes: int | None = None
    num_samples_without_answer: int = 0
    num_samples_without_sentences: int = 0
    model: PlannedModel
    """What is known of the model without its weights."""
    files: list[str]
    """The predictions' files."""
    selection: Selection
    """How samples were chosen among those that can be used."""
    examples_of_rejects: dict[str, str]
    key_groups: list[str]
    """Names of the key groups, those drawn at random included."""
    is_causal: bool = False
    random_vocabularies: dict[str, list[str]] = field(default_factory=dict)
    label_values: dict[str, LabelValues] = field(default_factory=dict)
    answers_by_language: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the content of ``plan.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """Return the plan that ``plan.json`` holds; keys of other versions are passed over.

        Raises
        ------
        ValueError
            Naming the keys that are missing or hold something else.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"it is {type(content).__name__}, not an object")
        missing = [one.name for one in fields(cls) if _is_required(one) and one.name not in content]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing[:5])}")
        wrong = [one.name for one in fields(cls) if one.name in content and not _fits(one.type, content[one.name])]
        if wrong:
            raise ValueError(f"it holds something else than a plan as {', '.join(wrong[:5])}")
        flop, model = content.get("predicted_flop"), content["model"]
        values = {one.name: content[one.name] for one in fields(cls) if one.name in content}
        values["predicted_flop"] = flop and PredictedFlop(
            flop["measure"],
            flop["causal"],
            flop["pairs"],
            flop.get("check", 0.0),
            flop.get("reading", 0.0),
            flop.get("fetching", 0.0),
        )
        known = [one.name for one in fields(PlannedModel) if _is_required(one) or one.name in model]
        values["model"] = PlannedModel(**{name: model[name] for name in known})
        return cls(**values)


_KINDS = {"int": int, "bool": bool, "dict": dict, "list": list}


def _fits(annotation: object, value: object) -> bool:
    """Whether a value is of the kind that a field is annotated with, as far as JSON tells kinds."""
    name, _, optional = str(annotation).partition(" | ")
    kind = _KINDS.get(name.partition("[")[0])
    return kind is None or (value is None and bool(optional)) or isinstance(value, kind)


def _is_required(one: Any) -> bool:
    return one.default is MISSING and one.default_factory is MISSING
