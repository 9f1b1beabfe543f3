"""``FinancialAttentionAnalyzer``: one text, what its heads look at, and the charts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from analyses.charts.parts import Chart
from analyses.charts.single_texts import group_flow, pattern_heatmap
from engine.config import Config
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.tokenized_text import Tokens
from engine.errors import UserError
from engine.notebook.frames import ranges_of
from engine.notebook.guide.cells import shows_itself
from engine.notebook.hook import LayerPatterns
from engine.notebook.sources import ModelSource, PatternSource
from engine.notebook.text_statistics import TextStatistics
from engine.notebook.token_labels import Region, choose_cut, summed_pattern, text_of_tokens, token_texts
from engine.notebook.workbench import MAX_BYTES, AnySample, Workbench, notebook_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class FinancialAttentionAnalyzer(TextStatistics):
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
        their ids when ``tokenizer`` is given. ``...``, as the guide has it, stands for the prompt that an
        ``AttentionHook`` saw, with the tokenizer that lies beside its model.
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
        tokens: Sequence[str] | Sequence[int] | torch.Tensor | EllipsisType,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
        config: Config | str | Path | Mapping[str, object] | None = None,
    ):
        if tokens is Ellipsis and isinstance(attention_weights, LayerPatterns):
            seen, tokenizer = _seen_ids(attention_weights), tokenizer or _own_tokenizer(attention_weights)
            texts = token_texts(seen, tokenizer)
        else:
            texts = token_texts(tokens, tokenizer)
        settings = notebook_config(None, None, config, vocabulary)
        settings.prompt.chat_template = "none"
        text, starts, ends = text_of_tokens(texts)
        encoder = Encoder(settings, None, TokenGroups.from_config(settings), None)
        ids = np.unique(texts, return_inverse=True)[1]
        encoded = encoder.encode_tokens("sample", text, Tokens(ids.tolist(), starts, ends))
        super().__init__(PatternSource(attention_weights, encoded), settings)

    @classmethod
    def from_text(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        text: AnySample,
        layers: Sequence[int] = (),
        *,
        vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
        config: Config | str | Path | Mapping[str, object] | None = None,
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
        TextStatistics.__init__(made, ModelSource(bench, bench.encode(text), layers, max_bytes), bench.config)
        return made

    def __repr__(self) -> str:
        """Say what was measured, and what can be asked."""
        return (
            f"FinancialAttentionAnalyzer({self.encoded.num_tokens} tokens, layers {ranges_of(self.layer_numbers)}, "
            f"vocabulary {self.vocabulary_name!r}; .head_stats, .attention_weights, "
            f".plot_attention_heatmap(layer, head))"
        )

    @shows_itself
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
    ) -> Chart:
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
            frame,
            self.look,
            rows=cut.row_labels,
            keys=cut.key_labels,
            summed=cut.is_summed,
            title=f"Layer {layer_idx}, head {head_idx}",
            subtitle=cut.note or f"all {self.encoded.num_tokens} tokens",
        )

    @shows_itself
    def plot_financial_attention_flow(
        self, layer_idx: int, query_group: str = "all", key_groups: Sequence[str] | None = None
    ) -> Chart:
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
            frame.select("head", "key_group", "mass", "baseline", "lift"),
            self.look,
            key_groups=names,
            title=f"Layer {layer_idx}: attention to the vocabulary",
            subtitle=f"share of the attention of {query_group} rows, by head",
        )

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


def _seen_ids(patterns: LayerPatterns) -> torch.Tensor | None:
    """Return the ids of the one prompt that patterns are of."""
    ids = patterns.input_ids
    return None if ids is None or ids.shape[0] != 1 else ids[0].cpu()


def _own_tokenizer(patterns: LayerPatterns) -> PreTrainedTokenizerBase:
    """Return the tokenizer that lies beside the model, without asking a hub.

    Raises
    ------
    UserError
        When there is none; the message says what to give.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(patterns.model_name, local_files_only=True)
    except Exception:  # transformers raises many types here
        raise UserError(
            f"tokens: ... stands for the prompt that the hook saw, and no tokenizer lies beside the model "
            f"({patterns.model_name or 'it was made here'}); give tokenizer= the one that made its ids."
        ) from None


def quick_attention_analysis(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: AnySample,
    layer_idx: int | Sequence[int] = 0,
    **options: Any,
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
