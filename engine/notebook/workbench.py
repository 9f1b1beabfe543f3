"""A model that is already loaded, its tokenizer and a config: what every function of the notebook works with.

Nothing of the model is changed for good: it is put into inference state for a forward and back again, and its own
attention is restored by whoever replaces it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from engine.attention.layout import sequence_layout
from engine.config import Config, config_of_tree, load_config
from engine.encoded_samples import EncodedSample
from engine.encoding.conversations import sample_reader
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.vocabulary import union_name
from engine.errors import ConfigError, UserError
from engine.inputs.readers.record import Record
from engine.measuring.measured import Measured
from engine.measuring.probe import Probe
from engine.model.geometry import Geometry
from engine.model.rotary import context_length
from engine.model.wrapped import refuse_wrapped
from engine.samples import Message, RowRejected, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_BYTES = 2**30
"""Bytes of whole patterns that are kept at most, unless ``max_bytes`` says otherwise."""

FINANCIAL_VOCABULARY = "financial"
"""The vocabulary of the package that is taken where none is given."""

AnySample = str | Mapping[str, object] | Sample | EncodedSample
"""A text, a record as in a predictions file, or what the engine made of one."""

PromptSource = Literal["transcript", "messages", "fields"]
"""Values of ``prompt.source``."""

_PLACEHOLDER = "(samples given in a notebook)"


class Workbench:
    """Encodes and measures single samples with a loaded model.

    Parameters
    ----------
    model
        Any transformers decoder, in any attention implementation, dtype and device.
    tokenizer
        Its tokenizer; a fast one, since key groups need character offsets.
    config
        A ``Config``, a config file, or sections as in one; defaults otherwise. Vocabulary and query groups are added
        where it names none.
    vocabulary
        Replaces the config's: a YAML file or categories with their terms.

    Raises
    ------
    ConfigError
        When config or tokenizer cannot be used.
    UserError
        When something around a model is given, such as a pipeline.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: Config | str | Path | Mapping[str, object] | None = None,
        vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
    ):
        refuse_wrapped(model)
        if not getattr(tokenizer, "is_fast", False):
            raise ConfigError(
                f"tokenizer: {type(tokenizer).__name__} gives no character offsets (it is a slow tokenizer), which "
                f"key groups and labels need. Load its fast version (AutoTokenizer.from_pretrained(…)), or take "
                f"AttentionHook for the patterns and FinancialAttentionAnalyzer(hook.attention_weights, tokens) with "
                f"the tokens' texts."
            )
        self.model, self.tokenizer = model, tokenizer
        self.config = notebook_config(model, tokenizer, config, vocabulary)
        self.groups = TokenGroups.from_config(self.config)
        self.encoder = Encoder(self.config, tokenizer, self.groups, context_length(model.config))
        self.geometry = Geometry.of(model.config)

    def __repr__(self) -> str:
        """Say which model is on it."""
        geometry = self.geometry
        return f"{type(self.model).__name__}, {geometry.num_layers} layers x {geometry.num_heads} heads"

    def encode(self, sample: AnySample, label: str | None = None, sample_id: str = "sample") -> EncodedSample:
        """Return a sample as the model sees it.

        A text is taken as it is; its last row is the decision row, or with a ``label`` that label is its answer. A
        record is read by the rules of a predictions file, prompt and answer.

        Raises
        ------
        UserError
            When it cannot be read or encoded; the message has the reason.
        """
        try:
            if isinstance(sample, EncodedSample):
                return sample
            if isinstance(sample, Sample):
                return self.encoder.encode(sample)
            if isinstance(sample, Mapping):
                return self.encoder.encode(self.read(sample, sample_id))
            if not isinstance(sample, str):
                raise UserError(
                    f"{sample_id}: a sample is a text or a record with the fields of a predictions file, not "
                    f"{type(sample).__name__}."
                )
            if label is None:
                return self.encoder.encode_text(sample_id, sample)
            return self._answered(sample, label, sample_id)
        except RowRejected as rejected:
            raise UserError(f"{sample_id}: {rejected.reason}: {rejected}") from None

    def read(self, record: Mapping[str, object], sample_id: str = "sample") -> Sample:
        """Return a record as a sample; where the config names no prompt source, the fields that it has decide."""
        config = self.config
        if "source" not in config.prompt.model_fields_set:
            config = config.model_copy(deep=True)
            config.prompt.source = prompt_source(record, config)
        reader = sample_reader(config, tokenizer=self.tokenizer)
        row = Record(dict(record), number=1)
        found = reader.sample_id(row)
        return reader.sample(sample_id if found == "row-1" else found, row)

    def _answered(self, text: str, label: str, sample_id: str) -> EncodedSample:
        """Return a text that is answered by a label's first spelling."""
        word = self.config.decision.labels[label][0]
        lead = "" if text[-1:].isspace() else " "
        sample = Sample(
            sample_id=sample_id,
            cluster=None,
            year=None,
            actual_label=None,
            predicted_label=label,
            raw_predicted_label=label,
            label_source="record",
            certainty=None,
            magnitude=None,
            messages=(Message("user", text),),
            response=lead + word,
            label_start=len(lead),
            label_end=len(lead) + len(word),
            label_spelling=0,
            answer_label=label,
        )
        plain = self.config.model_copy(deep=True)
        plain.prompt.chat_template = "none"  # the text is the whole prompt, as the model is given it
        return Encoder(plain, self.tokenizer, self.groups, self.encoder.max_tokens).encode(sample)

    def measure(
        self,
        encoded: EncodedSample,
        layers: Sequence[int] = (),
        heads: Sequence[int] | None = None,
        max_bytes: int = MAX_BYTES,
        with_rollout: bool = False,
    ) -> Measured:
        """Run one forward and return all statistics, with the whole float32 patterns of some layers and heads.

        Raises
        ------
        UserError
            When a layer or head does not exist, or the patterns asked for exceed ``max_bytes``.
        """
        chosen = tuple(range(self.geometry.num_heads)) if heads is None else tuple(heads)
        for layer in layers:
            check_head(self.geometry, layer, *chosen)
        check_bytes(
            4 * len(layers) * len(chosen) * encoded.num_tokens * (encoded.num_tokens + 1) // 2,
            max_bytes,
            f"{len(layers)} layer(s) x {len(chosen)} head(s) x {encoded.num_tokens} tokens",
        )
        layout = sequence_layout(encoded, 0, self.model.device, dict.fromkeys(layers, chosen))
        layout = replace(layout, pattern_dtype=torch.float32)
        statistics = self.config.statistics
        probe = Probe(
            self.model,
            statistics.norm_weighted,
            with_rollout or statistics.rollout,
            self.config.model.attention,
            statistics.query_groups == ["decision"],
        )
        with in_inference_state(self.model):
            (found,) = probe.measure(layout.token_ids, [layout])
        measured = Measured(encoded, found)
        fault = measured.fault()
        if fault is not None:
            raise UserError(f"{encoded.sample_id}: {fault[0]}: {fault[1]}")
        return measured


def notebook_config(
    model: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase | None,
    config: Config | str | Path | Mapping[str, object] | None = None,
    vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
) -> Config:
    """Return a config for a loaded model, its gaps filled as a notebook needs them."""
    if isinstance(config, str | Path):
        made = load_config(config)[0]
    elif isinstance(config, Config):
        made = config.model_copy(deep=True)
    else:
        tree: dict[str, Any] = {
            name: dict(part) if isinstance(part, Mapping) else part for name, part in (config or {}).items()
        }
        tree.setdefault("predictions", {}).setdefault("path", _PLACEHOLDER)
        tree.setdefault("model", {}).setdefault("path", model_name(model))
        made = config_of_tree(tree, "config")
    if vocabulary is not None:
        made.vocabulary = (
            {name: list(terms) for name, terms in vocabulary.items()}
            if isinstance(vocabulary, Mapping)
            else str(vocabulary)
        )
    elif made.vocabulary is None and made.key_groups is None:
        made.vocabulary = FINANCIAL_VOCABULARY
    if made.prompt.chat_template is None and not getattr(tokenizer, "chat_template", None):
        made.prompt.chat_template = "none"
    if "query_groups" not in made.statistics.model_fields_set and made.key_groups is None:
        made.statistics.query_groups = [*made.statistics.query_groups, union_name(made.vocabulary)]
    return made


def prompt_source(record: Mapping[str, object], config: Config) -> PromptSource:
    """Return which ``prompt.source`` fits a record's fields."""
    fields = config.predictions.fields
    if record.get(fields.transcript):
        return "transcript"
    return "messages" if record.get(fields.messages) else "fields"


def model_name(model: PreTrainedModel | None) -> str:
    """Return where a model was loaded from, or its class when it was made here."""
    return str(getattr(model, "name_or_path", "") or type(model).__name__)


def check_head(geometry: Geometry, layer_idx: int, *head_idx: int) -> None:
    """Refuse a layer or head that the model does not have.

    Raises
    ------
    UserError
        Naming the range.
    """
    if not 0 <= layer_idx < geometry.num_layers:
        raise UserError(
            f"layer_idx: layer {layer_idx} is outside 0..{geometry.num_layers - 1} for this model "
            f"({geometry.num_layers} layers)."
        )
    for head in head_idx:
        if not 0 <= head < geometry.num_heads:
            raise UserError(
                f"head_idx: head {head} is outside 0..{geometry.num_heads - 1} for this model "
                f"({geometry.num_heads} query heads in each layer)."
            )


def check_bytes(needed: int, max_bytes: int, what: str) -> None:
    """Refuse patterns that are larger than a limit.

    Raises
    ------
    UserError
        With the number of bytes that would do.
    """
    if needed > max_bytes:
        raise UserError(
            f"max_bytes: the patterns of {what} take {needed:,} bytes ({needed / 2**20:,.1f} MiB), more than "
            f"{max_bytes:,}. Ask for fewer layers or heads or a shorter text, or give max_bytes={needed}."
        )


@contextmanager
def in_inference_state(model: nn.Module) -> Iterator[None]:
    """Switch dropout off inside, and put every module back into the state that it was in."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def warn(message: str) -> None:
    """Warn the reader of a notebook, in the line that called it."""
    warnings.warn(message, UserWarning, stacklevel=3)
