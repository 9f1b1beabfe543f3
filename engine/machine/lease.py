"""The lock of a run directory, or of a model in the cache: a lease with a heartbeat, by the file system's clock."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import socket
import threading
import uuid
from pathlib import Path
from types import TracebackType

from engine.errors import RunFailedError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
_ATTEMPTS = 5


class LeaseHeld(RunFailedError):  # noqa: N818 - what is the case, for whoever can wait
    """Somebody else holds the lease."""


class RunLease:
    """Holds a run directory for one driver.

    A lease whose holder died on this machine is taken over at once; one from elsewhere (another host, another
    container, this machine before it was started anew) once its heartbeat is older than ``STALE_SECONDS``, by the
    modification times that the file system itself gave. The lease lies beside the run directory, so that it holds while
    the directory is set aside.
    """

    def __init__(self, root: Path):
        self.root = root
        self.path = root.with_name(f".{root.name}.lease")
        self.token = uuid.uuid4().hex
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> RunLease:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            if self._create():
                self._thread.start()
                return self
            self._remove_if_abandoned()
        raise LeaseHeld(f"{self.root}: this run directory changes hands too fast; start the command again.")

    def _create(self) -> bool:
        """Make the lease, which has its whole content from the moment it exists; False when there is one."""
        content = json.dumps({"host": socket.gethostname(), **this_process(), "token": self.token})
        draft = self._beside("draft")
        try:
            draft.write_text(content, encoding="utf-8")
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            return self._create_without_links(content)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _create_without_links(self, content: str) -> bool:
        """Make the lease where the file system knows no hard links."""
        try:
            with self.path.open("x", encoding="utf-8") as stream:
                stream.write(content)
        except FileExistsError:
            return False
        return True

    def _remove_if_abandoned(self) -> None:
        found = self._read()
        if found is None:
            return
        holder, beat = found
        silence = self._now() - beat
        if not _has_died(holder) and silence <= STALE_SECONDS:
            if silence < -STALE_SECONDS:
                life = f"its last sign of life is dated {-silence:,.0f} s ahead of the clock of this file system"
                remedy = f"if that process is dead, remove its lease (rm {shlex.quote(str(self.path))}) and start again"
            else:
                life = f"last sign of life {max(silence, 0):.0f} s ago"
                remedy = f"if that process is dead, it is taken over after {STALE_SECONDS:.0f} s of silence"
            raise LeaseHeld(
                f"{self.root}: another process works in this run directory (host {holder.get('host')}, pid "
                f"{holder.get('pid')}, {life}). Wait for it, or give this run another run.name; {remedy}."
            )
        self._take_away(holder)

    def _take_away(self, holder: dict[str, object]) -> None:
        """Remove the lease that was judged, and no other: somebody else may have taken over in the meantime."""
        taken = self._beside("taken")
        try:
            self.path.rename(taken)
        except FileNotFoundError:
            return
        try:
            if _parsed(taken.read_text(encoding="utf-8")).get("token") != holder.get("token"):
                with contextlib.suppress(OSError):
                    os.link(taken, self.path)
        finally:
            taken.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, object], float] | None:
        """Return what the lease says and the time of its last heartbeat, or None when there is none."""
        try:
            return _parsed(self.path.read_text(encoding="utf-8")), self.path.stat().st_mtime
        except FileNotFoundError:
            return None

    def _now(self) -> float:
        """Return the file system's time, by touching a file there."""
        clock = self._beside("clock")
        clock.touch()
        try:
            return clock.stat().st_mtime
        finally:
            clock.unlink(missing_ok=True)

    def _beside(self, kind: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{kind}-{self.token}")

    def check(self) -> None:
        """Refuse to go on when another driver has taken this lease, as it may after a long silence.

        Raises
        ------
        RunFailedError
            When the lease is no longer this driver's.
        """
        found = self._read()
        if found is None or found[0].get("token") != self.token:
            raise RunFailedError(
                f"{self.root}: another driver took this run directory over while this one was silent; nothing more was "
                f"written. Let that one finish, or start the same command again."
            )

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
                os.utime(self.path)
            except RunFailedError:
                return  # it is not ours to keep alive
            except OSError:
                continue  # a file server that hiccups; the next beat may come through

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError, RunFailedError):
            self.check()
            self.path.unlink()


def this_process() -> dict[str, object]:
    """Return what tells this process from every other one, also from one that gets its pid later."""
    pid = os.getpid()
    return {"pid": pid, "started": _start_of(pid), "machine": _machine()}


def _parsed(text: str) -> dict[str, object]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _has_died(holder: dict[str, object]) -> bool:
    """Whether a lease's holder ran on this machine, whose process table can be asked, and runs no longer."""
    pid, machine = holder.get("pid"), _machine()
    if not isinstance(pid, int) or machine is None or holder.get("machine") != machine:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _start_of(pid) != holder.get("started")


def _machine() -> str | None:
    """Return what names this boot of this machine and its table of pids; containers have tables of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()  # no Linux, so no containers either


def _start_of(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None where unknown and for a zombie, which holds nothing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
