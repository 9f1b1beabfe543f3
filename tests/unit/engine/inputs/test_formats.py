"""A format of predictions is one file and one row: recognised by suffix, by content, or by ``predictions.format``."""

import gzip
import json

import pytest

from engine.errors import ConfigError, InputError
from engine.inputs.files import ignored_files
from engine.inputs.formats import READERS, check_format
from engine.inputs.readers.reader import Reader
from engine.inputs.readers.record import EmptyFileError, Record
from engine.inputs.readers.text_source import TextSource
from engine.run import main
from tests.fixtures.predictions import records
from tests.fixtures.record_files import read, save, values

MARK = b'{"harness": "toy"'


class ToyReader(Reader):
    """A line that names the harness, and below it one record per line; ``!`` for one that cannot be read."""

    suffixes = (".toy", ".jsonl", ".json")

    def recognises(self, head):
        return head.suffix == ".toy" or head.lines()[0].startswith(MARK)

    def read(self, file, limits, on_bytes):
        content = b""
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            while chunk := source.read():
                content += chunk
        if not content:
            raise EmptyFileError(f"{file}: the toy is empty.")
        for number, line in enumerate(content.splitlines()[1:], start=1):
            yield Record({}, f"Toy {number} is bad.") if line == b"!" else Record(json.loads(line))


def toy(rows):
    return b"\n".join([MARK + b"}", *(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)])


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setitem(READERS, "toy", ToyReader())


@pytest.mark.usefixtures("toys")
def test_a_format_of_ones_own_is_recognised(tmp_path, limits):
    rows = [{"id": 1}, b"!", {"id": 3}]
    expected = [{"id": 1}, None, {"id": 3}]
    for name in ("a.toy", "b.TOY.gz", "c.jsonl", "d.json", "e.jsonl.gz"):
        content = gzip.compress(toy(rows), mtime=0) if name.endswith(".gz") else toy(rows)
        found = read(save(tmp_path, content, name), limits=limits)
        assert values(found) == expected, name
        assert found[1].problem == "Toy 2 is bad." and found[0].source == name
    assert ignored_files(str(tmp_path)) == []
    assert values(read(save(tmp_path, toy(rows), "f.txt"), "toy", limits=limits)) == expected
    with pytest.raises(
        InputError, match=r"known are \.arrow, \.csv, \.eval, \.feather, \.json, .*, \.parquet, \.toy, \.tsv"
    ):
        read(tmp_path / "f.txt")


@pytest.mark.usefixtures("toys")
def test_other_files_keep_their_format_beside_it(tmp_path):
    rows = [{"id": 1}, {"id": 2}]
    save(tmp_path, json.dumps(rows), "a.json")
    save(tmp_path, "\n".join(map(json.dumps, rows)), "b.jsonl")
    save(tmp_path, "id\n1\n2\n", "c.csv")
    save(tmp_path, b"", "d.toy")
    assert values(read(tmp_path)) == [*rows, *rows, {"id": "1"}, {"id": "2"}]
    with pytest.raises(InputError, match="the toy is empty"):
        read(tmp_path / "d.toy")


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("name", "overrides"), [("p.toy", ()), ("p.jsonl", ()), ("p.txt", ("predictions.format=toy",))]
)
def test_a_run_is_planned_from_a_format_of_ones_own(config_file, tmp_path, name, overrides):
    path = save(tmp_path, toy([*records(6), b"!"]), name)
    assert main([str(config_file), f"predictions.path={path}", *overrides, "--stage", "plan"]) == 0
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    assert (plan["num_samples"], plan["rejects_by_reason"]) == (6, {"unreadable_row": 1})
    assert plan["examples_of_rejects"]["unreadable_row"].endswith("Toy 7 is bad.")


@pytest.mark.parametrize("stage", ["plan", "all", "analyze"])
def test_a_format_that_there_is_none_of(config_file, capsys, stage):
    assert main([str(config_file), "predictions.format=jsonn", "--stage", stage]) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("predictions.format: 'jsonn' is no format that can be read (did you mean json?)")
    assert "give auto, json, jsonl, parquet, csv, " in message and message.endswith(" or chat-export.")
    assert "\n" not in message
    assert not (config_file.parent / "runs").exists()
    for name in ("", "xlsx"):
        with pytest.raises(ConfigError, match=r"is no format that can be read; give auto"):
            check_format(name)
