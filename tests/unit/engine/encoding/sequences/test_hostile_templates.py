"""Chat templates that raise whatever a template can: rejects or a sentence, never a traceback."""

from __future__ import annotations

import polars as pl
import pytest

from engine.run import main

TEMPLATES = {
    "type": "{{ messages + 1 }}",
    "attribute": "{{ messages.nothing.more }}",
    "key": "{{ {}['x'].y }}",
    "division": "{{ 1 / 0 }}",
    "recursion": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "range": "{% for i in range(99999999999) %}x{% endfor %}",
    "exception": "{{ raise_exception('no') }}",
    "unsafe": "{{ messages.__class__.__mro__ }}",
    "memory": "{{ 'x' * 999999999999999 }}",
    "filter": "{{ messages | nofilter }}",
    "syntax": "{% if %}",
    "open": "{% for m in messages %}",
    "deep": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "deep lists": "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "digits": "{{ " + "9" * 5000 + " }}",
    "date of another type": "{{ strftime_now(5) }}",
    "number for a format": "{{ '%d' % 'x' }}",
    "iteration": "{% for a, b, c in messages %}x{% endfor %}",
    "namespace": "{% set ns = namespace() %}{{ ns.x.y }}",
    "null": "{{ none() }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_raises_costs_its_rows_or_ends_in_a_sentence(config_file, tmp_path, capsys, name):
    template = tmp_path / "template.jinja"
    template.write_text(TEMPLATES[name])
    options = ["prompt.source=fields", f"prompt.chat_template={template}", "--stage", "plan"]
    code = main([str(config_file), *options])
    said = capsys.readouterr()
    assert code in (2, 3) or pl.read_parquet(tmp_path / "runs/test/plan/rejects.parquet").height == 12, said.err
    assert "Traceback" not in said.err and all(len(line) < 2000 for line in said.err.splitlines())
