"""Binary columns of Parquet, as Spark and Impala write texts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import Config
from engine.inputs.predictions import iter_samples, scan_predictions
from engine.inputs.sample_reader import SampleReader

ROW = {"prompt": "Will EPS rise? ✓".encode(), "response": b"increase", "actual_label": b"increase"}


def read(path, source="fields"):
    config = Config.model_validate(
        {
            "predictions": {"path": str(path)},
            "model": {"path": "unused"},
            "prompt": {"source": source},
            "decision": {"field": None},
        }
    )
    reader = SampleReader(config)
    scan = scan_predictions(config, reader)
    return list(iter_samples(config, reader, scan)), {reject.sample_id: reject for reject in scan.rejects}


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())], ids=str)
def test_bytes_that_are_text_are_read_as_text(tmp_path, kind):
    table = pa.table({name: pa.array([value]).cast(kind) for name, value in ROW.items()})
    pq.write_table(table, tmp_path / "rows.parquet")
    (sample,), rejects = read(tmp_path / "rows.parquet")
    assert not rejects and sample.messages[-1].content == "Will EPS rise? ✓"
    assert (sample.response, sample.predicted_label, sample.actual_label) == ("increase", "increase", "increase")


def test_bytes_inside_messages_are_read_as_text(tmp_path):
    turns = [{"role": b"user", "content": ROW["prompt"]}, {"role": b"assistant", "content": b"increase"}]
    pq.write_table(pa.Table.from_pylist([{"messages": turns}]), tmp_path / "rows.parquet")
    (sample,), _ = read(tmp_path / "rows.parquet", "messages")
    assert sample.messages[0].content == "Will EPS rise? ✓" and sample.response == "increase"


def test_other_bytes_are_no_text_where_text_is_asked_for(tmp_path):
    rows = [{**ROW, "image": b"\xff\xd8"}, {**ROW, "prompt": b"\xff\xd8", "image": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    samples, rejects = read(tmp_path / "rows.parquet")
    assert len(samples) == 1 and [reject.reason for reject in rejects.values()] == ["not_text"]
    assert "no UTF-8 text" in next(iter(rejects.values())).detail
