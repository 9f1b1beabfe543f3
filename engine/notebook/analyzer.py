"""``FinancialAttentionAnalyzer``: one text, what its heads look at, and the charts of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from analyses.charts_patterns import group_flow, pattern_heatmap
from analyses.visualization_settings import VisualizationSettings
from engine.config import Config
from engine.encoding import Encoder
from engine.errors import UserError
from engine.notebook.frames import frame_of, mass_and_lift, ranges_of, row_summary
from engine.notebook.hook import LayerPatterns
from engine.notebook.sources import ModelSource, PatternSource, Source, table_source
from engine.notebook.token_labels import Region, choose_cut, summed_pattern, text_of_tokens, token_texts
from engine.notebook.workbench import MAX_BYTES, AnySample, Workbench, notebook_config
from engine.samples import SEGMENTS, EncodedSample
from engine.schema import table_schema
from engine.tables import baseline_rows, head_rows, record_batch
from engine.token_groups import TokenGroups, union_name

_TOP = 10
"""Tokens that ``analyze_prediction_attention`` names by default."""


class FinancialAttentionAnalyzer:
    """What the heads of a model look at in one text.

    Made from patterns that are at hand, ``FinancialAttentionAnalyzer(hook.attention_weights, tokens)``, or from a text
    or a recorded prediction by ``from_text`` (which ``quick_attention_analysis`` is). The statistics are computed by
    the code that fills the tables of a run, so that both say the same of the same sample.

    Parameters
    ----------
    attention_weights
        ``layer_<number>`` to patterns ``[1, heads, T, T]``; any layers.
    tokens
        Texts of the ``T`` tokens (``tokenizer.convert_ids_to_tokens(ids)``, or plain), which any tokenizer can give, or
        their ids when ``tokenizer`` is given.
    tokenizer
        Only to turn ids into texts; it need not be a fast one.
    vocabulary
        A YAML file, or categories with their terms; the financial vocabulary by default.
    config
        A config file or sections as in one, for key groups and charts.

    Attributes
    ----------
    attention_weights
        ``["layer_3"]`` is ``[1, heads, T, T]``, float32. From a text, other layers are measured when asked for.
    head_stats, baselines
        Polars frames as in the tables of the same name.

    Raises
    ------
    UserError
        When patterns and tokens do not fit together.
    """

    def __init__(
        self,
        attention_weights: Mapping[str, torch.Tensor],
        tokens: Sequence[str] | Sequence[int] | torch.Tensor,
        tokenizer: Any = None,
        *,
        vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
        config: Config | str | Path | Mapping[str, Any] | None = None,
    ):
        texts = token_texts(tokens, tokenizer)
        settings = notebook_config(None, None, config, vocabulary)
        settings.prompt.chat_template = "none"
        text, starts, ends = text_of_tokens(texts)
        encoder = Encoder(settings, None, TokenGroups.from_config(settings), None)
        ids = np.unique(texts, return_inverse=True)[1]
        encoded = encoder.encode_tokens("sample", text, ids.tolist(), starts, ends)
        self._set_up(PatternSource(attention_weights, encoded), settings)

    @classmethod
    def from_text(
        cls,
        model: Any,
        tokenizer: Any,
        text: AnySample,
        layers: Sequence[int] = (),
        *,
        vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
        config: Config | str | Path | Mapping[str, Any] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> FinancialAttentionAnalyzer:
        """Measure a text, or a record of a predictions file, in one forward pass.

        Parameters
        ----------
        model, tokenizer
            Loaded already; the model is left as it was.
        text
            A text: its last row, which predicts the next token, is the decision row. A record (a mapping with the
            fields of a predictions file): encoded as a run does, its decision row is that of the label.
        layers
            Layers whose whole patterns are kept.
        vocabulary, config
            As in the class.
        max_bytes
            Bytes of whole patterns at most.

        Raises
        ------
        UserError
            For a text that cannot be encoded, a layer that does not exist, and patterns beyond ``max_bytes``.
        """
        bench = Workbench(model, tokenizer, config, vocabulary)
        made = cls.__new__(cls)
        made._set_up(ModelSource(bench, bench.encode(text), layers, max_bytes), bench.config)
        return made

    def _set_up(self, source: Source, config: Config) -> None:
        self._source, self.config = source, config
        self.look = VisualizationSettings.from_mapping(config.visualization.model_dump())

    @property
    def encoded(self) -> EncodedSample:
        """The text as tokens with their groups."""
        return self._source.encoded

    @property
    def attention_weights(self) -> LayerPatterns:
        """Patterns by ``layer_<number>``."""
        return self._source.patterns

    @property
    def vocabulary_name(self) -> str:
        """The key group that is the whole vocabulary.

        Raises
        ------
        UserError
            When the config's key groups hold no vocabulary.
        """
        name = union_name(self.config.vocabulary)
        if name not in self.encoded.key_groups:
            raise UserError(f"key_groups: {name!r}, the whole vocabulary, is not among "
                            f"{', '.join(self.encoded.key_groups)}.")  # fmt: skip
        return name

    @cached_property
    def tokens(self) -> pl.DataFrame:
        """One row per token: ``position, token, segment``, and ``categories``, the vocabulary's that hold it."""
        encoded = self.encoded
        inside = {name: set(encoded.key_groups[name].tolist()) for name in self._categories()}
        return pl.DataFrame(
            {
                "position": np.arange(encoded.num_tokens, dtype=np.int32),
                "token": encoded.token_texts(),
                "segment": [SEGMENTS[code] for code in encoded.segments],
                "categories": [
                    [name for name, positions in inside.items() if position in positions]
                    for position in range(encoded.num_tokens)
                ],
            },
            schema_overrides={"categories": pl.List(pl.String)},
        )

    def _categories(self) -> list[str]:
        groups = TokenGroups.from_config(self.config).key_groups
        return [name for name, group in groups.items() if group.vocabulary is not None and len(group.vocabulary) == 1]

    @cached_property
    def head_stats(self) -> pl.DataFrame:
        """One row per query group, layer and head, with every statistic of the table ``head_stats``."""
        norm_weighted = self.config.statistics.norm_weighted and self._source.measured is not None
        schema = table_schema("head_stats", list(self.encoded.key_groups), norm_weighted)
        frame = frame_of(record_batch(head_rows(table_source(self._source), schema), schema))
        return self._real_layers(frame)

    @cached_property
    def baselines(self) -> pl.DataFrame:
        """What uniform attention would give, per query group, as in the table ``baselines``."""
        schema = table_schema("baselines", list(self.encoded.key_groups))
        return self._real_layers(frame_of(record_batch(baseline_rows(table_source(self._source)), schema)))

    def _real_layers(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame whose layers are numbered as the model's, of which only some may be kept."""
        numbers = dict(enumerate(self._source.layer_numbers))
        return frame.with_columns(pl.col("layer").replace_strict(numbers, default=None, return_dtype=pl.Int32))

    def identify_financial_tokens(self) -> pl.DataFrame:
        """Return the tokens of the vocabulary's terms: ``position, token, categories``.

        Terms are whole words and phrases found by characters, whatever the tokenizer makes of them; as many as
        ``count_financial`` of the table ``samples``.
        """
        found = self.encoded.key_groups[self.vocabulary_name]
        return self.tokens.filter(pl.col("position").is_in(found.tolist())).drop("segment")

    def compute_financial_attention_scores(self, key_groups: Sequence[str] | None = None) -> pl.DataFrame:
        """Return every head's mass on key groups beside what uniform attention would give.

        Parameters
        ----------
        key_groups
            The whole vocabulary and its categories by default.

        Returns
        -------
        polars.DataFrame
            ``query_group, layer, head, key_group``, ``mass`` (0..1, a sum over keys, mean over the group's rows),
            ``baseline`` and ``lift`` (mass over baseline; null where that is 0). Query group ``financial`` has the
            attention between financial terms.
        """
        names = [self.vocabulary_name, *self._categories()] if key_groups is None else list(key_groups)
        for name in names:
            if name not in self.encoded.key_groups:
                raise UserError(f"key_groups: {name!r} is unknown; known are {', '.join(self.encoded.key_groups)}.")
        return mass_and_lift(self.head_stats, self.baselines, names)

    def analyze_prediction_attention(
        self, prediction_token: str | None = None, top: int = _TOP
    ) -> dict[str, dict[str, Any]]:
        """Return what the row that predicts a word looks at, per layer.

        Parameters
        ----------
        prediction_token
            The word. Of a recorded prediction whose label it is, the decision row counts; otherwise the row before the
            word's last occurrence; where the text does not hold it (a prompt), the last row, which would predict it.
            None: the decision row.
        top
            How many tokens to name.

        Returns
        -------
        dict
            ``layer_<number>`` to ``position`` (the row), ``financial_attention`` (``mean`` over heads, ``max`` and
            ``by_head`` of its mass on the vocabulary) and ``top_attended_tokens``, pairs of token and weight, the mean
            over heads.
        """
        position = self.prediction_row(prediction_token)
        rows, _ = self._source.rows(position)
        financial = self.encoded.key_groups[self.vocabulary_name]
        return {
            f"layer_{layer}": row_summary(row, position, self.encoded, financial, top)
            for layer, row in zip(self._source.layer_numbers, rows, strict=True)
        }

    def prediction_row(self, prediction_token: str | None) -> int:
        """Return the row that predicts a word, as ``analyze_prediction_attention`` chooses it."""
        encoded = self.encoded
        label = str(encoded.metadata.get("predicted_label") or "")
        if prediction_token is None or prediction_token.strip().casefold() == label.casefold() != "":
            return encoded.decision_position
        pattern = rf"(?<!\w){re.escape(prediction_token.strip())}(?!\w)"
        found = list(re.finditer(pattern, encoded.text, re.IGNORECASE))
        if not found:
            return encoded.num_tokens - 1
        first = int(np.searchsorted(encoded.char_ends, found[-1].start(), side="right"))
        return max(first - 1, 0)

    def rows_of(self, position: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return a position's row in every layer and head ``[L, H, T]`` and its rollout ``[T]``.

        Raises
        ------
        UserError
            When there is no such position.
        """
        number = self.encoded.num_tokens
        if not -number <= position < number:
            raise UserError(f"target_token_pos: {position} is outside 0..{number - 1}, the text's tokens.")
        return self._source.rows(position % number)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """Layers that are known."""
        return self._source.layer_numbers

    def plot_attention_heatmap(
        self,
        layer_idx: int,
        head_idx: int,
        *,
        window: Region | None = None,
        rows: Region | None = None,
        keys: Region | None = None,
        aggregate: str | int | None = None,
        max_tokens: int | None = None,
    ) -> Any:
        """Return the heatmap of a head's pattern with token labels, an Altair chart.

        A long text is shown by ``window`` (the same tokens as rows and keys), by a region (``rows`` and ``keys``), or
        summed over neighbouring tokens (``aggregate``: a number, or ``"segments"``), which happens by itself where a
        side has more than ``max_tokens`` tokens (``visualization.max_tokens``, 60): never does a chart hold a cell for
        each pair of a long text's tokens.

        Raises
        ------
        UserError
            For a layer, head or region that does not exist.
        """
        self._refuse_unknown(layer_idx, head_idx)
        cut = choose_cut(self.encoded, max_tokens or self.look.max_tokens, window, rows, keys, aggregate)
        frame = summed_pattern(self._source.head_pattern(layer_idx, head_idx), cut)
        return pattern_heatmap(
            frame, self.look, rows=cut.row_labels, keys=cut.key_labels, summed=cut.is_summed,
            title=f"Layer {layer_idx}, head {head_idx}",
            subtitle=cut.note or f"all {self.encoded.num_tokens} tokens",
        )  # fmt: skip

    def plot_financial_attention_flow(
        self, layer_idx: int, query_group: str = "all", key_groups: Sequence[str] | None = None
    ) -> Any:
        """Return how much of each head's attention goes to the vocabulary and its categories, an Altair chart.

        Parameters
        ----------
        layer_idx
            The layer.
        query_group
            Whose attention: ``all`` rows, the ``decision`` row, or another query group of the config.
        key_groups
            Other key groups to draw.
        """
        self._refuse_unknown(layer_idx)
        if query_group not in self.encoded.query_groups:
            known = ", ".join(self.encoded.query_groups)
            raise UserError(f"query_group: {query_group!r} is unknown; known are {known}.")
        scores = self.compute_financial_attention_scores(key_groups)
        frame = scores.filter((pl.col("layer") == layer_idx) & (pl.col("query_group") == query_group))
        names = frame["key_group"].unique(maintain_order=True).to_list()
        return group_flow(
            frame.select("head", "key_group", "mass", "baseline", "lift"), self.look, key_groups=names,
            title=f"Layer {layer_idx}: attention to the vocabulary",
            subtitle=f"share of the attention of {query_group} rows, by head",
        )  # fmt: skip

    def _refuse_unknown(self, layer_idx: int, head_idx: int | None = None) -> None:
        numbers = self._source.layer_numbers
        if layer_idx not in numbers:
            raise UserError(f"layer_idx: layer {layer_idx} is not among {ranges_of(numbers)} ({len(numbers)} layers).")
        num_heads = int(self.head_stats["head"].max() or 0) + 1  # type: ignore[arg-type]
        if head_idx is not None and not 0 <= head_idx < num_heads:
            raise UserError(f"head_idx: head {head_idx} is outside 0..{num_heads - 1} ({num_heads} query heads).")

    def _repr_html_(self) -> str:
        """Show in Jupyter and marimo what this is, and the heads that look at the vocabulary most."""
        shown = self.compute_financial_attention_scores([self.vocabulary_name])
        best = shown.filter(pl.col("query_group") == "all").sort("mass", descending=True, nulls_last=True).head(5)
        strongest = best.select("layer", "head", "mass").iter_rows()
        heads = ", ".join(f"layer {layer} head {head} ({mass:.1%})" for layer, head, mass in strongest if mass)
        number = len(self.identify_financial_tokens())
        return (
            f"<p><b>{self.encoded.num_tokens} tokens, {len(self.layer_numbers)} layers.</b> {number} tokens belong to "
            f"the vocabulary <i>{self.vocabulary_name}</i>. Most attention to it: {heads or 'none'}.</p>"
        )


def quick_attention_analysis(
    model: Any, tokenizer: Any, text: AnySample, layer_idx: int | Sequence[int] = 0, **options: Any
) -> FinancialAttentionAnalyzer:
    """Measure a text in one forward pass and return its analyser.

    Statistics are there for every layer; whole patterns are kept for ``layer_idx`` only and measured for others when
    they are asked for. (The guide kept those of all layers: 24.5 GiB for a statement of 4,096 tokens.)

    Parameters
    ----------
    model, tokenizer
        Loaded already; the model is left as it was.
    text
        A text, or a record of a predictions file.
    layer_idx
        One layer or several.
    options
        ``vocabulary``, ``config`` and ``max_bytes`` of ``FinancialAttentionAnalyzer.from_text``.
    """
    layers = (layer_idx,) if isinstance(layer_idx, int) else tuple(layer_idx)
    return FinancialAttentionAnalyzer.from_text(model, tokenizer, text, layers, **options)
