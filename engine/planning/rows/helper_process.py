"""One process that helps to plan, as its driver sees it: started apart, spoken to over a socket, and always ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import BinaryIO

from engine.machine.children import environment_of_child
from engine.planning.rows.helper_messages import Failure, Hello, Result, Task


@dataclass(slots=True, eq=False)
class Asked:
    """A task, what it is about in words, its size in bytes, and what became of it."""

    task: Task
    name: str
    size: int
    num_deaths: int = 0
    answer: Result | Failure | None = None


@dataclass(slots=True, eq=False)
class HelperProcess:
    """A helper, the socket to it, what it printed, what it has to do, in order, and whether it has begun."""

    process: subprocess.Popen[bytes]
    connection: Connection
    noise: BinaryIO
    asked: deque[Asked] = field(default_factory=deque)
    is_ready: bool = False

    @classmethod
    def started(cls, hello: Hello) -> HelperProcess:
        """Start a process that knows what it is made from.

        It shares nothing with this process but the socket, whose end, when this process is gone in whatever way, is its
        own end too.
        """
        ours, theirs = socket.socketpair()
        code = f"from engine.planning.rows.helper_child import serve; serve({theirs.fileno()})"
        noise: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the helper is ended
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=noise,
                stderr=noise,
                env=environment_of_child() | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the driver, whose end is the helper's
            )
        helper = cls(process, Connection(ours.detach()), noise)
        with contextlib.suppress(OSError):  # it is dead already, which is noticed when its answer is waited for
            helper.connection.send(hello)
        return helper

    def end(self) -> int:
        """End the process, and return the code that it ended with."""
        self.connection.close()
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.noise.close()
        return code

    def last_words(self) -> str:
        """Return the end of what the process printed, as a sentence."""
        self.noise.seek(0, os.SEEK_END)
        self.noise.seek(max(0, self.noise.tell() - 4096))
        said = " ".join(self.noise.read().decode(errors="replace").split())[-300:]
        return f"Its last words: {said} " if said else ""
