"""Work that grows with the size of a file or a text, not with its square, and blanks that cost nothing.

Each case is made four times as large. What is compared is the CPU time of this thread, and the least of some
comparisons counts, so that other work on the machine does not: linear work takes four times as long, quadratic sixteen
times.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable

import pytest

from engine.encoding.conversations import transcript_layouts
from engine.inputs.conversations.invented_turns import invented_turns
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.formats import READERS
from engine.inputs.readers.delimited import CsvReader
from engine.inputs.readers.json_files.json_document import JsonReader
from engine.inputs.readers.json_files.json_lines import JsonLinesReader
from engine.inputs.readers.record import Limits
from tests.fixtures.inspect_logs import chunked_members, inspect_sample, zipped
from tests.fixtures.logged_cases import Case

LIMITS = Limits()
MOST = 9.0
"""Times as long for four times as much, at most: between four and sixteen."""
TRIES = 8
"""Comparisons of which one has to be below it."""


def seconds(call: Callable[[], object]) -> float:
    started = time.thread_time()
    call()
    return time.thread_time() - started


def assert_linear(work: Callable[[int], Callable[[], object]], size: int) -> None:
    small, large = work(size), work(4 * size)
    ratios: list[float] = []
    while not ratios or (min(ratios) >= MOST and len(ratios) < TRIES):
        ratios.append(seconds(large) / max(seconds(small), 1e-4))
    assert min(ratios) < MOST, f"four times as much takes {min(ratios):.0f} times as long"


def read(reader, file):
    return lambda: list(reader.read(file, LIMITS, None))


RECORD = json.dumps({"a": "x" * 20, "b": 1})
FILES = {
    "line ends in JSON Lines": (JsonLinesReader(), "jsonl", lambda n: f"{RECORD}\n" + "\n" * n + f"{RECORD}\n"),
    "line ends in CSV": (CsvReader(), "csv", lambda n: "a,b\n1,2\n" + "\n" * n + "3,4\n"),
    "line ends before a header": (CsvReader(), "csv", lambda n: "\n" * n + "a,b\n1,2\n3,4\n"),
    "line ends in a list": (JsonReader(), "json", lambda n: f"[{RECORD}," + "\n" * n + f"{RECORD}]"),
    "line ends between objects": (
        JsonLinesReader(),
        "json",
        lambda n: json.dumps({"a": 1}, indent=1) + "\n" * n + json.dumps({"a": 2}, indent=1),
    ),
    "blanks behind an object": (
        JsonLinesReader(),
        "json",
        lambda n: json.dumps({"a": 1}, indent=1) + " " * n + "\n" + json.dumps({"a": 2}, indent=1),
    ),
    "objects in one line": (JsonLinesReader(), "jsonl", lambda n: RECORD * (n // 40)),
    "objects over several lines": (
        JsonLinesReader(),
        "json",
        lambda n: "\n".join([json.dumps({"a": 1, "b": "x" * 9}, indent=1)] * (n // 40)),
    ),
    "many lines": (JsonLinesReader(), "jsonl", lambda n: f"{RECORD}\n" * (n // 40)),
    "many rows": (CsvReader(), "csv", lambda n: "a,b\n" + "1,2\n" * (n // 10)),
    "a wide row": (CsvReader(), "csv", lambda n: "\n".join([",".join(f"c{i}" for i in range(n // 40))] * 2)),
    "a deep value": (JsonLinesReader(), "jsonl", lambda n: '{"a": ' + "[" * (n // 8) + "]" * (n // 8) + "}\n"),
    "an open quote": (CsvReader(), "csv", lambda n: 'a,b\n1,"2\n' + "x y\n" * (n // 40) + "3,4\n5,6\n7,8\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_in_linear_time(tmp_path, name):
    reader, suffix, content = FILES[name]

    def work(size: int):
        file = tmp_path / f"{size}.{suffix}"
        file.write_text(content(size))
        return read(reader, file)

    assert_linear(work, 250_000)


def test_samples_in_chunks_are_read_in_linear_time(tmp_path):
    def work(size: int):
        file = tmp_path / f"{size}.eval"
        cases = (Case(number, "increase", "increase", True) for number in range(size))
        file.write_bytes(zipped(chunked_members(map(inspect_sample, cases))))
        return read(READERS["inspect"], file)

    assert_linear(work, 400)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("line ends") and "list" not in name])
def test_what_stands_behind_blank_lines_is_read(tmp_path, name):
    reader, suffix, content = FILES[name]
    file = tmp_path / f"blank.{suffix}"
    file.write_text(content(3 * LIMITS.chunk_bytes))
    assert [record.problem for record in read(reader, file)()] == ["", ""]


def test_a_gibibyte_of_line_ends_is_a_matter_of_seconds(tmp_path):
    """In 4.5 MB of gzip: what is compared is the time of unpacking it, which nobody can do without."""
    file = tmp_path / "bomb.jsonl.gz"
    blank = gzip.compress(b"\n" * 2**26)
    file.write_bytes(gzip.compress(f"{RECORD}\n".encode()) + blank + gzip.compress(f"{RECORD}\nx\n".encode()))
    unpacking = seconds(lambda: gzip.decompress(file.read_bytes()))
    records = []
    reading = seconds(lambda: records.extend(JsonLinesReader().read(file, LIMITS, None)))
    assert [record.problem.partition(" is ")[0] for record in records] == ["", "", f"Line {2**26 + 3}"]
    assert reading < 12 * unpacking + 2


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_dir)


ANSWERS = {
    "ends of turns": lambda n: "<|im_end|>" * (n // 10),
    "ends of turns and a word": lambda n: "<|im_end|>\n" * (n // 10) + "Increase",
    "beginnings of turns": lambda n: "Increase" + "<|im_start|>" * (n // 10),
    "questions": lambda n: "Increase\n" + "Question: why?\n" * (n // 10),
    "inputs and outputs": lambda n: "Input: a\n" * (n // 20) + "Output: b\n" * (n // 20),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_invented_turns_are_found_in_linear_time(name):
    def work(size: int):
        text = ANSWERS[name](size)
        return lambda: invented_turns(text, 0)

    assert_linear(work, 30_000)


@pytest.mark.parametrize("ending", ["", "x"], ids=["tokens alone", "a letter behind them"])
def test_special_tokens_at_the_end_of_a_transcript_are_left_in_linear_time(tokenizer, ending):
    from engine.encoding.conversations import special_tokens

    token = tokenizer.eos_token
    markup = ChatMarkup(special=special_tokens(tokenizer))

    def work(size: int):
        text = "Increase " + f"{token} \n" * (size // 10) + ending
        assert markup.without_end(text) == (text if ending else "Increase ")
        return lambda: markup.without_end(text)

    assert_linear(work, 100_000)


def test_a_long_history_is_parted_in_linear_time():
    from engine.inputs.conversations.recorded_transcripts import _with_history

    markup = ChatMarkup(special=re.compile(r"<s>|</s>"), between="</s><s>U:", generation_prompt="<s>A:")

    def work(size: int):
        text = "yes</s><s>U:and then?<s>A:" * (size // 26) + "no"
        messages, answer = _with_history(markup, (), text)
        assert (len(messages), answer) == (2 * (size // 26), "no")
        return lambda: _with_history(markup, (), text)

    assert_linear(work, 200_000)


@pytest.mark.parametrize("repeated", ["system", "user", "assistant", "<|im_end|>"])
def test_layouts_of_a_template_match_in_linear_time(tokenizer, repeated):
    layouts = transcript_layouts(tokenizer, tokenizer.chat_template)
    assert layouts

    def work(size: int):
        text = "system\nx\n" + f"{repeated}\n" * (size // 10)
        return lambda: [layout.match(text) for layout in layouts]

    assert_linear(work, 30_000)


def test_every_reader_of_text_is_covered():
    """Logs of evaluation tools come through the readers above, one record at a time; Parquet is no text."""
    covered = {type(reader) for reader, _, _ in FILES.values()}
    left = {type(reader) for reader in READERS.values()} - covered
    assert {one for one in left if ".evaluations." not in one.__module__} == {
        type(READERS[name]) for name in ("parquet", "arrow")
    }
