"""Processes that help to plan: rows go out in chunks, results come back in order, and a plan is the same as without.

Reading, choosing, counting and cutting into units stay in the driver; what takes time, reading a row's answer, encoding
it, counting its words, writing units, is done by the helpers. Encoded samples pass through the driver as bytes.
"""

from __future__ import annotations

import multiprocessing.connection
import signal
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from engine.config import Config
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.random_vocabulary import WordCensus
from engine.encoding.tokenized_text import tokenize
from engine.errors import RunFailedError
from engine.inputs.readers.record import Record
from engine.inputs.scanned_rows import ScannedRow
from engine.machine.deaths import OF_MEMORY, num_killed_for_memory
from engine.machine.nodes import num_cpus
from engine.model.lent import lent_model
from engine.planning.planned_samples import PlannedSample
from engine.planning.rows.helper_child import Helper
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
)
from engine.planning.rows.helper_process import Asked, HelperProcess
from engine.planning.rows.row_work import RowWork
from engine.samples import Answer, Reject

MOST_PROCESSES = 8
"""The driver has a sixtieth of a row's work (``tests/benchmarks/plan_scale.md``): memory is what bounds them."""
FEW_BYTES = 4 * 2**20
"""Files up to so large are planned in the driver: some 300 rows of 2,210 tokens, 8 s of CPU time, of which two helpers
would save 4. A helper takes 3 s to start."""
_CHUNK_ROWS = 16
_CHUNK_BYTES = 2**18
_WINDOW = 4
"""Chunks per helper that are out or wait for their turn: one is worked at, one is there already, two are done."""
_WINDOW_BYTES = 2**24
_WRITING_BYTES = 2**26
_DEATHS = 2
"""Processes that one task may cost."""


def num_processes(config: Config, num_bytes: int) -> int:
    """Return how many processes plan.

    Parameters
    ----------
    config
        The run's config.
    num_bytes
        Size of the predictions' files.

    Returns
    -------
    int
        1 stands for this process alone: where a loaded model lends its tokenizer, where files are small, or as the
        config says.
    """
    wanted = config.cluster.planning_processes
    if lent_model() is not None:
        return 1
    if wanted is not None:
        return wanted
    return 1 if num_bytes <= FEW_BYTES else max(1, min(MOST_PROCESSES, num_cpus()))


class Helpers:
    """Processes that do a plan's work for as long as this is entered.

    Parameters
    ----------
    work
        The driver's own reader and encoder, which do what no helper is left for.
    max_tokens
        The model's context length.
    size
        How many processes.
    answers
        Generated answers by sample id.
    """

    def __init__(self, work: RowWork, max_tokens: int | None, size: int, answers: Mapping[str, Answer] | None = None):
        self.work, self.size, self.answers = work, size, answers or {}
        text = f'{"".join(map(str, work.tokenizer.all_special_tokens))} EPS of $1.05, naïve:\n\n-3 % {{"a": null}}'
        self._hello = Hello(
            work.config.model_dump(mode="json"), max_tokens, text, tuple(tokenize(work.tokenizer, text).ids)
        )
        self._here: Helper | None = None
        self._live: list[HelperProcess] = []
        self._waiting: deque[Asked] = deque()
        self._writing: deque[Asked] = deque()
        self._num_killed = num_killed_for_memory()

    def __enter__(self) -> Helpers:
        try:
            for _ in range(self.size):
                self._live.append(HelperProcess.started(self._hello))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for helper in self._live:
            helper.process.kill()
        while self._live:
            self._live.pop().end()

    def scanned(self, records: Iterable[Record]) -> Iterator[ScannedRow]:
        """Yield what a first reading keeps of each record, in order."""
        for result in self._in_order(self._chunks(records, is_scan=True)):
            assert isinstance(result, Scanned)
            yield from result.rows

    def encoded(
        self, records: Iterable[Record], censuses: Mapping[str, WordCensus]
    ) -> Iterator[PlannedSample | Reject]:
        """Yield each record as a sample of the plan or as a reject, in order; the words of all go into the censuses."""
        for result in self._in_order(self._chunks(records, is_scan=False)):
            assert isinstance(result, Encoded)
            for name, counts in result.counts.items():
                censuses[name].merge(counts)
            yield from result.samples

    def write(self, path: Path, batches: Sequence[Sequence[PlannedSample]]) -> None:
        """Let a unit's packed batches be written; ``finish`` waits for it."""
        contents = tuple(
            tuple(sample.content for sample in batch if isinstance(sample.content, bytes)) for batch in batches
        )
        size = sum(len(content) for batch in contents for content in batch)
        self._writing.append(self._ask(UnitToWrite(path, contents), path.stem, size))
        while self._writing and (self._writing[0].answer or sum(one.size for one in self._writing) > _WRITING_BYTES):
            self._result(self._writing.popleft())

    def finish(self) -> None:
        """Wait for what is being written."""
        while self._writing:
            self._result(self._writing.popleft())

    def draw(self, paths: Sequence[Path], drawn: TokenGroups, names: Collection[str]) -> Iterator[Path]:
        """Give the units of these files groups that were drawn; yield each that is done, in order."""
        tasks = (
            (UnitToDrawIn(path, list(names), drawn.vocabulary, drawn.key_groups, drawn.query_groups), path.stem, 0)
            for path in paths
        )
        for result in self._in_order(tasks):
            assert isinstance(result, Done)
            yield result.path

    def _chunks(self, records: Iterable[Record], *, is_scan: bool) -> Iterator[tuple[Task, str, int]]:
        """Yield records in chunks of a few rows, or of fewer that are long."""
        rows: list[bytes] = []
        answers: dict[str, Answer] = {}
        first = last = size = 0
        for record in records:
            if not rows:
                first = record.number
            last = record.number
            rows.append(packed(record))
            size += len(rows[-1])
            sample_id = self.work.reader.sample_id(record) if self.answers else ""
            if sample_id in self.answers:
                answers[sample_id] = self.answers[sample_id]
            if len(rows) == _CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield Rows(tuple(rows), answers, is_scan), f"rows {first} to {last}", size
                rows, answers, size = [], {}, 0
        if rows:
            yield Rows(tuple(rows), answers, is_scan), f"rows {first} to {last}", size

    def _in_order(self, tasks: Iterator[tuple[Task, str, int]]) -> Iterator[Result]:
        """Yield the results of tasks in their order; of so many only that memory stays bounded are out at a time."""
        out: deque[Asked] = deque()
        error: Exception | None = None
        is_more = True
        while is_more or out:
            while is_more and len(out) < _WINDOW * self.size and sum(asked.size for asked in out) < _WINDOW_BYTES:
                try:
                    out.append(self._ask(*next(tasks)))
                except StopIteration:
                    is_more = False
                except Exception as raised:  # what was read before it may have an error of its own, which comes first
                    is_more, error = False, raised
            if out:
                yield self._result(out.popleft())
        if error is not None:
            raise error

    def _ask(self, task: Task, name: str, size: int) -> Asked:
        asked = Asked(task, name, size)
        self._waiting.append(asked)
        self._hand_out()
        return asked

    def _result(self, asked: Asked) -> Result:
        """Wait for a task's result; raises what was raised there."""
        while asked.answer is None:
            if self._live:
                self._listen()
            else:
                self._do_here(self._waiting.popleft())
        if isinstance(asked.answer, Failure):
            raise asked.answer.as_error()
        return asked.answer

    def _hand_out(self) -> None:
        """Give what waits to helpers that have fewer than two tasks: one to work at, and one to go on with."""
        while self._waiting and self._live:
            helper = min(self._live, key=lambda helper: len(helper.asked))
            if len(helper.asked) >= 2:
                return
            asked = self._waiting.popleft()
            helper.asked.append(asked)
            try:
                helper.connection.send(asked.task)
            except OSError:
                self._lose(helper)

    def _listen(self) -> None:
        """Wait until a helper has done something or is dead."""
        ready = multiprocessing.connection.wait([helper.connection for helper in self._live])
        for helper in [helper for helper in self._live if helper.connection in ready]:
            try:
                answer = helper.connection.recv()
            except (EOFError, OSError):
                self._lose(helper)
            else:
                if isinstance(answer, Ready):
                    helper.is_ready = True
                else:
                    helper.asked.popleft().answer = answer
        self._hand_out()

    def _lose(self, helper: HelperProcess) -> None:
        """Give a dead helper's tasks to the others.

        Raises
        ------
        RunFailedError
            When two died at the same task.
        """
        words = helper.last_words()
        self._live.remove(helper)
        code = helper.end()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL and num_killed_for_memory() > self._num_killed:
            cause += f", {OF_MEMORY}"
        at_work = helper.asked[0] if helper.asked else None
        self._waiting.extendleft(reversed(helper.asked))
        where = "with nothing to do" if at_work is None else f"at {at_work.name}"
        if at_work is not None and helper.is_ready:
            at_work.num_deaths += 1
            if at_work.num_deaths >= _DEATHS:
                raise RunFailedError(
                    f"cluster.planning_processes: two of {self.size} processes that plan died {where} ({cause}). "
                    f"{words}Nothing was planned. Where the machine has no memory for so many, set fewer, or 1 to plan "
                    f"in this process; else leave that part of predictions.path out to find the row."
                )
        others = f"{len(self._live)} other(s) go" if self._live else "this process goes"
        print(
            f"Warning: a process that helps to plan died {where} ({cause}); {others} on with it. {words}".rstrip(),
            file=sys.stderr,
            flush=True,
        )
        self._hand_out()

    def _do_here(self, asked: Asked) -> None:
        """Do a task in this process."""
        if self._here is None:
            self._here = Helper(self._hello, self.work)
        try:
            asked.answer = self._here.done(asked.task)
        except Exception as error:
            asked.answer = Failure(None, str(error), error)
