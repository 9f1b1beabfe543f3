"""What answers read and what keys receive, as columns of Arrow tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from engine.attention.readers.received import ReceivedRows, Receivers
from engine.config import ReceivedStatistics
from engine.encoded_samples import EncodedSample
from engine.measuring.measured import Measured
from engine.schema import CENTROID_PREFIX, CONCENTRATION_PREFIX, DRIFT_PREFIX


def reading_rows(sample: Measured) -> dict[str, dict[str, object]]:
    """Return a sample's columns of ``reading_focus``; no table where it was not measured or there is no answer."""
    found = [layer.reading for layer in sample.layers]
    if not len(sample.encoded.answer_rows) or any(reading is None for reading in found):
        return {}
    values = torch.stack([reading for reading in found if reading is not None]).cpu().numpy()
    num_layers, num_heads = values.shape[:2]
    columns: dict[str, object] = _places(sample, num_layers, num_heads)
    for column, name in enumerate(sample.encoded.key_groups):
        for part, prefix in enumerate((CENTROID_PREFIX, DRIFT_PREFIX, CONCENTRATION_PREFIX)):
            columns[f"{prefix}{name}"] = values[:, :, column, part].reshape(-1)
    return {"reading_focus": columns}


def _places(sample: Measured, num_layers: int, num_heads: int) -> dict[str, object]:
    """Return the columns that say which head of which layer of a sample a row is of."""
    layer, head = np.indices((num_layers, num_heads), dtype=np.int32).reshape(2, -1)
    return {
        "sample_id": [sample.encoded.sample_id] * len(layer),
        "layer": np.asarray(sample.layer_numbers, dtype=np.int32)[layer],
        "head": head,
    }


def received_rows(encoded: EncodedSample, settings: ReceivedStatistics) -> ReceivedRows:
    """Return what is asked of what a sample's keys receive."""
    numbers = encoded.sentences_of(settings.sentences)
    return ReceivedRows.of(numbers, settings.top, settings.min_rows, settings.heads)


def received_tables(sample: Measured) -> dict[str, dict[str, object]]:
    """Return a sample's columns of the tables of what is received; none where it was not measured."""
    layers = [layer.received for layer in sample.layers if layer.received is not None]
    if not layers:
        return {}
    sink = torch.stack([layer.sink for layer in layers]).cpu().numpy()
    kurtosis, ranks = np.full(sink.shape, np.nan, dtype=np.float32), np.full(sink.size, -1, dtype=np.int32)
    if all(layer.kurtosis is not None for layer in layers):
        kurtosis = torch.stack([layer.kurtosis for layer in layers if layer.kurtosis is not None]).cpu().numpy()
    receivers = sample.found.receivers
    if receivers is not None:
        is_receiver = receivers.kurtosis.cpu().numpy() > -np.inf
        ranks[receivers.places.cpu().numpy()[is_receiver]] = np.flatnonzero(is_receiver)
    tables: dict[str, dict[str, object]] = {
        "received_heads": _places(sample, *sink.shape)
        | {
            "sink_score": np.minimum(sink.reshape(-1), 1),
            "receiver_kurtosis": kurtosis.reshape(-1),
            "receiver_rank": pa.array(ranks, type=pa.int32(), mask=ranks < 0),
        },
        "received_keys": _key_rows(sample),
    }
    return tables if receivers is None else tables | _sentence_rows(sample, receivers)


def _key_rows(sample: Measured) -> dict[str, object]:
    """Return the columns of ``received_keys``: keys that enough rows see."""
    layers = [layer.received for layer in sample.layers if layer.received is not None]
    values, keys, seen = (
        torch.stack([getattr(layer, name) for layer in layers]).cpu().numpy() for name in ("values", "keys", "num_rows")
    )
    layer, head, rank = np.nonzero(values >= 0)
    positions = keys[layer, head, rank].astype(np.int32)
    return {
        "sample_id": [sample.encoded.sample_id] * len(layer),
        "layer": np.asarray(sample.layer_numbers, dtype=np.int32)[layer],
        "head": head.astype(np.int32),
        "rank": rank.astype(np.int32),
        "key_position": positions,
        "token": pa.array(sample.encoded.token_texts()).take(pa.array(positions)),
        "received": np.minimum(values[layer, head, rank], 1),
        "num_rows": seen[layer, head, rank].astype(np.int32),
    }


def _sentence_rows(sample: Measured, receivers: Receivers) -> dict[str, dict[str, object]]:
    """Return the columns of ``sentence_flow`` and ``receiver_sentences``."""
    asked = sample.found.sentences
    flow, among = receivers.flow.cpu().numpy(), receivers.receiver_flow.cpu().numpy()
    query, key = np.nonzero(~np.isnan(flow))
    is_receiver = receivers.kurtosis.cpu().numpy() > -np.inf
    places, scores = receivers.places.cpu().numpy()[is_receiver], receivers.scores.cpu().numpy()[is_receiver]
    rank, sentence = np.nonzero(~np.isnan(scores))
    layer, head = np.divmod(places[rank], sample.layers[0].means.shape[0])
    sample_id = sample.encoded.sample_id
    return {
        "sentence_flow": {
            "sample_id": [sample_id] * len(query),
            "query_sentence": asked[query],
            "key_sentence": asked[key],
            "flow": np.clip(flow[query, key], 0, 1),
            "receiver_flow": np.clip(among[query, key], 0, 1),
        },
        "receiver_sentences": {
            "sample_id": [sample_id] * len(rank),
            "layer": np.asarray(sample.layer_numbers, dtype=np.int32)[layer],
            "head": head.astype(np.int32),
            "receiver_rank": rank.astype(np.int32),
            "sentence": asked[sentence],
            "received": np.clip(scores[rank, sentence], 0, 1),
        },
    }
