"""The process in which Ray runs, as seen from the driver: started, listened to, watched, and always ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

from engine.config import Config
from engine.errors import ConfigError, RunFailedError
from engine.executors.over_ray.ray_cluster import cluster_address, node_of_resources
from engine.executors.over_ray.ray_folder import AUTH_MODE, make_folder
from engine.executors.over_ray.ray_messages import Alive, Event, Failed, JobMessage, Plain, Started, Survey
from engine.machine.children import environment_of_child
from engine.machine.nodes import Node
from engine.storage.records import LedgerRow
from engine.storage.run_directory import RunDirectory

HEAD_SILENCE_SECONDS = 45.0
"""Without a sign of life of the cluster for so long, its head node is taken to be lost."""
START_SECONDS = 300.0
SURVEY_SECONDS = 120.0
STALL_SECONDS = 60.0
LOSS_SECONDS = 15.0
_STALL_FACTOR = 10.0
_END_SECONDS = 10.0


def cluster_nodes(address: str) -> list[Node]:
    """Return what the nodes of a Ray cluster offer, without joining it.

    Raises
    ------
    RunFailedError
        When it cannot be asked.
    """
    survey = _survey(address, environment_of_child())
    if "problem" in survey:
        raise RunFailedError(survey["problem"])
    return [node_of_resources(resources) for resources in survey.get("nodes", [])]


def check_asks_for_token(address: str) -> None:
    """Refuse a cluster that answers a stranger: it runs the code of everybody who reaches it.

    Raises
    ------
    RunFailedError
        When it was started without a token, and this run was not told that this is meant; or does not answer.
    """
    stranger = {name: value for name, value in environment_of_child().items() if not name.startswith("RAY_AUTH_")}
    survey = _survey(address, stranger | {AUTH_MODE: "disabled"})
    if "nodes" in survey:
        raise RunFailedError(
            f"RAY_ADDRESS={address}: the Ray cluster there was started without a token, so that everybody who reaches "
            f"it can run code on it. Start it with {AUTH_MODE}=token and one token on all nodes (launch/README.md, "
            f"Tokens), or export {AUTH_MODE}=disabled to run on it as it is."
        )
    if not survey.get("is_stranger"):
        raise RunFailedError(
            f"{survey.get('problem')} So it is not known whether it asks for a token; start the same command again."
        )


def _survey(address: str, environment: dict[str, str]) -> Survey:
    code = "import sys; from engine.executors.over_ray.ray_child import survey; survey(sys.argv[1])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, address],
            capture_output=True,
            text=True,
            env=environment,
            timeout=SURVEY_SECONDS,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return {"problem": f"RAY_ADDRESS={address}: the cluster there could not be asked what it offers."}


class RayProcess:
    """One process with one Ray session for one job.

    Parameters
    ----------
    job
        What it is given to do.
    run_dir
        The run directory of the job, in its session.

    Attributes
    ----------
    has_lost_nodes
        Whether rows ended because nodes were lost, not because all units are done.
    """

    def __init__(self, job: JobMessage, run_dir: RunDirectory):
        self.job, self.run_dir = job, run_dir
        self.has_lost_nodes = False
        self._events: queue.Queue[Event] = queue.Queue()
        self._size = 0
        self._longest = 0.0
        self._started = self._last_row = self._last_sign = time.monotonic()
        self._patience = STALL_SECONDS
        self._room: int | None = None
        self._is_done = False

    def __enter__(self) -> RayProcess:
        # Not in the run directory, which may be full or gone: this is what says so.
        self._noise: BinaryIO = tempfile.TemporaryFile()
        is_own = cluster_address(Config.model_validate(self.job["config"])) is None
        self._folder = make_folder() if is_own else None
        lock = self._folder.lock if self._folder is not None else None
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from engine.executors.over_ray.ray_child import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment_of_child() | (self._folder.variables() if self._folder is not None else {}),
            pass_fds=[] if lock is None else [lock],  # the folder is in use while either of us lives
            start_new_session=True,  # Ctrl-C is for the driver, which lets the shards in flight be finished
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(self.job)}\n".encode())
        self._process.stdin.flush()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed, or cut off in the middle of a line
            for line in self._process.stdout:
                self._events.put(json.loads(line))
        self._events.put({"event": "ended"})

    def rows(self) -> Iterator[LedgerRow]:
        """Yield ledger rows until all are there or nodes were lost.

        Raises
        ------
        ConfigError, RunFailedError
            When nothing goes on.
        """
        while True:
            event = self._next_event()
            if event["event"] == "row":
                row = LedgerRow(**event["row"])
                self._count(row)
                yield row
            elif event["event"] == "failed":
                raise _error_of(event)
            elif event["event"] == "ended":
                raise RunFailedError(self._obituary())
            elif event["event"] == "done":
                self._is_done = True
                return
            else:
                self._note(event)
                self._watch()
                if self.has_lost_nodes:
                    return

    def _next_event(self) -> Event:
        try:
            return self._events.get(timeout=1)
        except queue.Empty:
            return {"event": "nothing"}

    def _count(self, row: LedgerRow) -> None:
        self._longest = max(self._longest, row.seconds)
        self._last_row = self._last_sign = time.monotonic()
        self._patience = STALL_SECONDS

    def _note(self, event: Started | Alive | Plain) -> None:
        if event["event"] == "started":
            self._size = event["size"]
        elif event["event"] == "alive":
            self._room = event["room"]
        if event["event"] != "nothing":
            self._last_sign = time.monotonic()

    def _watch(self) -> None:
        """Judge a silence: the head node is lost, other nodes are, or shards take long."""
        now = time.monotonic()
        if not self._size:
            if now - self._started > START_SECONDS:
                raise RunFailedError(f"cluster: Ray did not start within {START_SECONDS:.0f} s. {self._last_words()}")
            return
        if now - self._last_sign > HEAD_SILENCE_SECONDS:
            raise RunFailedError(
                f"cluster: the head node has given no sign of life for {HEAD_SILENCE_SECONDS:.0f} s. Committed units "
                f"are kept; start the same command again when RAY_ADDRESS names a cluster that answers."
            )
        silence = now - self._last_row
        if self._room is not None and self._room < self._size and silence > max(LOSS_SECONDS, 3 * self._longest):
            self.has_lost_nodes = True
            return
        if silence > max(self._patience, _STALL_FACTOR * self._longest):
            self._patience = 2 * silence
            print(self._stall(silence), file=sys.stderr, flush=True)

    def _stall(self, silence: float) -> str:
        """Say what a run waits for when no shard has been finished for long."""
        at_work = sorted(path.stem for path in self.run_dir.journals.glob("*.jsonl"))
        loading = sum(1 for _ in self.run_dir.incoming.glob("loading-*"))
        what = f"at work: {', '.join(at_work[:8])}{'…' if len(at_work) > 8 else ''}" if at_work else "no shard at work"
        longest = f"the longest so far took {self._longest:.0f} s" if self._longest else "none was finished before"
        return (
            f"cluster: no shard has been finished for {silence:.0f} s ({longest}); {what}; {loading} of {self._size} "
            f"replica(s) still load the model; the cluster has room for {self._room}. Waiting on."
        )

    def _obituary(self) -> str:
        code = self._process.wait()
        where = os.environ.get("RAY_ADDRESS")
        cluster = f"the cluster at RAY_ADDRESS={where} was lost" if where else "Ray's processes died"
        return (
            f"cluster: {cluster} (its driver process ended with {code}). {self._last_words()}Committed units are kept; "
            f"start the same command again to go on."
        )

    def _last_words(self) -> str:
        """Return the end of what Ray printed."""
        self._noise.seek(0)
        lines = [line for line in self._noise.read().decode(errors="replace").splitlines() if line.strip()]
        return f"Its last words: {' '.join(' '.join(lines[-3:]).split())[-300:]} " if lines else ""

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._is_done:
                self._process.wait(_END_SECONDS)
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # a sign to end at once
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # what a core that ended by itself left behind
        self._process.stdout.close()
        self._noise.close()
        if self._folder is not None:
            self._folder.remove()


def _error_of(event: Failed) -> ConfigError | RunFailedError:
    kind = ConfigError if event["exit_code"] == ConfigError.exit_code else RunFailedError
    return kind(event["detail"])
