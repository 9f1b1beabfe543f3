"""A chat template that prints today's date gives the same tokens on every day and in every time zone."""

from __future__ import annotations

import json
import time

import pyarrow.parquet as pq
import pytest
import yaml
from transformers import AutoTokenizer

from engine.encoding.sequences.template_dates import date_formats, pinned, printed
from engine.run import main
from tests.fixtures.chat_templates import styled_tokenizer
from tests.fixtures.models import write_tiny_model
from tests.fixtures.predictions import records


@pytest.fixture
def arguments(tmp_path, tokenizer_dir):
    styled_tokenizer(tmp_path / "llama", tokenizer_dir, "llama 3")
    write_tiny_model(tmp_path / "model", tmp_path / "llama")
    (tmp_path / "rows.json").write_text(
        json.dumps(
            [
                {
                    "id": n,
                    "prompt": "Up or down?",
                    "response": row["full_model_response"].rpartition("\nassistant\n")[2],
                }
                for n, row in enumerate(records(2))
            ]
        )
    )
    config = {
        "run": {"name": "dated", "output": str(tmp_path / "runs")},
        "predictions": {"path": str(tmp_path / "rows.json")},
        "prompt": {"source": "fields"},
        "model": {"path": str(tmp_path / "model"), "dtype": "float32", "device": "cpu"},
        "cluster": {"mode": "inline"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return [str(tmp_path / "config.yaml"), "--stage", "plan"]


def texts(run_dir):
    return [
        text
        for file in (run_dir / "plan" / "encoded").glob("*.parquet")
        for text in pq.read_table(file)["text"].to_pylist()
    ]


def test_the_day_is_kept_and_said(tmp_path, arguments, capsys):
    run_dir = tmp_path / "runs" / "dated"
    assert main(arguments) == 0
    said = capsys.readouterr().out
    stored = yaml.safe_load((run_dir / "run.yaml").read_text())
    day = stored["config"]["prompt"]["date"]
    assert f"it is pinned to {day}" in said and "prompt.date" in said
    (run_dir / "run.yaml").write_text((run_dir / "run.yaml").read_text().replace(day, "2011-02-03"))
    assert main(arguments) == 0  # as on another day
    assert all("Today Date: 03 Feb 2011\n" in text for text in texts(run_dir))
    assert "it is pinned to 2011-02-03" in capsys.readouterr().out
    assert main([*arguments, "prompt.date=2012-03-04"]) == 0
    assert all("Today Date: 04 Mar 2012\n" in text for text in texts(run_dir))
    assert "pinned" not in capsys.readouterr().out
    assert main([*arguments, "--fresh", "prompt.template_kwargs={date_string: yesterday, mood: odd}"]) == 0
    assert all("Today Date: yesterday\n" in text for text in texts(run_dir))
    assert "never reads mood" in capsys.readouterr().out


@pytest.fixture
def in_zone(monkeypatch):
    """Move this process to a time zone, and back afterwards."""

    def move(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def test_no_time_zone_moves_the_day(tmp_path, arguments, in_zone):
    found, hours = [], []
    for zone in ("Etc/GMT+12", "Pacific/Kiritimati"):
        in_zone(zone)
        hours.append(time.localtime().tm_gmtoff // 3600)
        assert main([*arguments, f"run.name={zone[:3]}"]) == 0
        found.append(texts(tmp_path / "runs" / zone[:3]))
    assert found[0] == found[1] and hours == [-12, 14]


def test_a_finished_run_goes_on_with_its_day(tmp_path, arguments, capsys):
    command = [arguments[0], "--stage", "collect"]
    assert main(command) == 0
    path = tmp_path / "runs" / "dated" / "run.yaml"
    day = yaml.safe_load(path.read_text())["config"]["prompt"]["date"]
    assert main(command) == 0 and yaml.safe_load(path.read_text())["config"]["prompt"]["date"] == day
    capsys.readouterr()
    assert main([*command, "prompt.date=1999-01-01"]) == 2
    assert "prompt.date" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("\n{{ strftime_now(\"%Y-%m-%d\") }} '{{ x }}'", "2024-07-26 ''"),
        ("{% set f = '%B %d' %}{{ strftime_now(f) }} {{ strftime_now('%Y') }}", "July 26 2024"),
        (
            "{% macro head() %}{{ strftime_now('%A') }}{% endmacro %}{% for i in [1] %}{{ head() }}{% endfor %}",
            "Friday",
        ),
        ("{% if strftime_now is defined %}{{ strftime_now('it\\'s %H:%M') }}{% endif %}", "it's 00:00"),
        ("{% generation %}{{ strftime_now('%j') }}{% endgeneration %}", "208"),
    ],
    ids=["llama", "line end in front", "a variable", "in a macro", "quotes and hours", "with generation marks"],
)
def test_the_clock_of_a_template_stands_still(tokenizer_dir, template, expected):
    from datetime import date

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    turns = [{"role": "user", "content": "x"}]
    text = pinned(template, printed(date(2024, 7, 26), date_formats(template)))
    assert tokenizer.apply_chat_template(turns, chat_template=text, tokenize=False) == expected.removeprefix("\n") or (
        tokenizer.apply_chat_template(turns, chat_template=text, tokenize=False) == f"\n{expected}"
    )
    untouched = "{{ messages[0].content }}"
    assert date_formats(untouched) == () and pinned(untouched, {}) == untouched
