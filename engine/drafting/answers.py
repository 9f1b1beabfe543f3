"""Prompts, answers, labels and verdicts of the first rows, as a config that is being drafted reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from engine.config import config_of_tree
from engine.inputs.rows.configured import config_records
from engine.inputs.sample_reader import SampleReader
from engine.samples import RowRejected

_MOST_ANSWERS = 500


class Answers:
    """What the first rows say, read by the config as far as it is drafted.

    Parameters
    ----------
    drafted
        The config's sections so far.
    """

    def __init__(self, drafted: Mapping[str, Any]):
        tree = {**drafted, "decision": {"span": "last_line", "field": None}}
        config = config_of_tree(tree, "the drafted config")
        reader = SampleReader(config)
        self.prompts: list[str] = []
        self.responses: list[str] = []
        self.actual: list[object] = []
        self.predicted: list[object] = []
        self.correct: list[object] = []
        self.has_choices = False
        self.problems: Counter[str] = Counter()
        for record in islice(config_records(config), _MOST_ANSWERS):
            if record.problem:
                self.problems[record.reason] += 1
                continue
            fields = reader.fields_of(record)
            values = record.values
            self.has_choices |= fields.choices is not None and values.get(fields.choices) is not None
            self.actual.append(values.get(fields.target or fields.actual))
            self.predicted.append(values.get(fields.predicted))
            self.correct.append(values.get(fields.correct) if fields.correct else None)
            try:
                read = reader.conversation(record)
            except RowRejected as rejected:
                self.problems[rejected.reason] += 1
                continue
            self.responses.append(read.response)
            self.prompts += [message.content for message in read.messages]
