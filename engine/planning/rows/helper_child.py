"""The life of a process that helps to plan, which ``helpers`` starts and sees the end of."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection

from engine.config import Config
from engine.encoding.encoded_files import write_batches
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.tokenized_text import tokenize
from engine.errors import RunFailedError
from engine.interruptions import STOP_SIGNALS
from engine.planning.planned_samples import PlannedSample
from engine.planning.rows.helper_messages import (
    Done,
    Encoded,
    Failure,
    Hello,
    Ready,
    Result,
    Rows,
    Scanned,
    Task,
    UnitToDrawIn,
    UnitToWrite,
    packed,
    unpacked,
)
from engine.planning.rows.row_work import RowWork, add_drawn_groups
from engine.samples import Reject


def serve(descriptor: int) -> None:
    """Do what is asked over a socket until it ends; signals are for the driver, whose end is this process's own."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(descriptor)
    asked: queue.SimpleQueue[Hello | Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, asked), daemon=True).start()
    hello = asked.get()
    assert isinstance(hello, Hello)
    helper = Helper(hello)
    _say(connection, Ready())
    while True:
        task = asked.get()
        assert not isinstance(task, Hello)
        try:
            answer: Result | Failure = helper.done(task)
        except Exception as error:
            answer = Failure.of(error)
        _say(connection, answer)


def _say(connection: Connection, answer: Ready | Result | Failure) -> None:
    try:
        connection.send(answer)
    except OSError:  # nobody listens any more
        os._exit(1)


def _listen(connection: Connection, asked: queue.SimpleQueue[Hello | Task]) -> None:
    """Take what is asked; end this process at once when whoever started it is gone, whatever it is doing."""
    while True:
        try:
            asked.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


class Helper:
    """Does tasks; what it needs is loaded at the first, so that what is wrong with it arrives as that one's error.

    Parameters
    ----------
    hello
        What it is made from.
    work
        What it would load, where that is there already.
    """

    def __init__(self, hello: Hello, work: RowWork | None = None):
        self.hello, self._work = hello, work
        self._drawn: tuple[UnitToDrawIn, TokenGroups] | None = None

    def done(self, task: Task) -> Result:
        """Do a task."""
        if isinstance(task, UnitToWrite):
            write_batches(task.path, [[unpacked(sample) for sample in batch] for batch in task.batches])
            return Done(task.path)
        if isinstance(task, UnitToDrawIn):
            add_drawn_groups(task.path, self._groups(task), task.names)
            return Done(task.path)
        return self._rows(task)

    def _rows(self, task: Rows) -> Scanned | Encoded:
        work = self._loaded()
        work.reader.answers = task.answers
        records = map(unpacked, task.records)
        if task.is_scan:
            return Scanned(tuple(map(work.scanned, records)))
        censuses = work.empty_censuses()
        samples: list[PlannedSample | Reject] = []
        for record in records:
            done = work.encoded(record, censuses)
            samples.append(done if isinstance(done, Reject) else PlannedSample.of(done, packed(done)))
        return Encoded(tuple(samples), {name: census.counts() for name, census in censuses.items()})

    def _groups(self, task: UnitToDrawIn) -> TokenGroups:
        """Return the groups that a task defines; those of all units are the same."""
        if self._drawn is None or self._drawn[0].vocabulary != task.vocabulary:
            self._drawn = task, TokenGroups(task.vocabulary, task.key_groups, task.query_groups)
        return self._drawn[1]

    def _loaded(self) -> RowWork:
        if self._work is None:
            config = Config.model_validate(self.hello.config)
            if not config.model.trust_remote_code and config.model.gguf_file is None:
                # A tokenizer needs no torch, which would take twice the memory and seconds to load.
                sys.modules.setdefault("torch", None)  # pyright: ignore[reportArgumentType]
            work = RowWork(config, self.hello.max_tokens)
            if tuple(tokenize(work.tokenizer, self.hello.text).ids) != self.hello.ids:
                raise RunFailedError(
                    "cluster.planning_processes: the tokenizer gives other tokens in a process of its own than in the "
                    "run's. Set cluster.planning_processes: 1 to plan in this process alone."
                )
            self._work = work
        return self._work
