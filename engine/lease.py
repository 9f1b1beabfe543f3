"""A run directory's lock: a lease with a heartbeat, judged by the file system's clock."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from pathlib import Path
from types import TracebackType

from engine.errors import RunFailedError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


class RunLease:
    """Holds a run directory for one driver.

    A lease whose holder died on this host is taken over at once; one from another host once its heartbeat is older
    than ``STALE_SECONDS``, by the modification times that the file system itself gave. The lease lies beside the run
    directory, so that it holds while the directory is set aside.
    """

    def __init__(self, root: Path):
        self.root = root
        self.path = root.with_name(f".{root.name}.lease")
        self.token = uuid.uuid4().hex
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> RunLease:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": self.token})
        for _ in range(3):
            try:
                with self.path.open("x", encoding="utf-8") as stream:
                    stream.write(content)
                self._thread.start()
                return self
            except FileExistsError:
                self._remove_if_abandoned()
        raise RunFailedError(f"{self.root}: this run directory changes hands too fast; start the command again.")

    def _remove_if_abandoned(self) -> None:
        try:
            holder = json.loads(self.path.read_text(encoding="utf-8"))
            beat = self.path.stat().st_mtime
        except FileNotFoundError:
            return
        except ValueError:
            holder, beat = {}, self.path.stat().st_mtime
        if holder.get("host") == socket.gethostname():
            abandoned = not _is_alive(int(holder["pid"]))
        else:
            abandoned = self._now() - beat > STALE_SECONDS
        if not abandoned:
            raise RunFailedError(
                f"{self.root}: another process works in this run directory (host {holder.get('host')}, pid "
                f"{holder.get('pid')}). Wait for it, or give this run another run.name."
            )
        self.path.unlink(missing_ok=True)

    def _now(self) -> float:
        """Return the file system's time, by touching a file there."""
        clock = self.path.with_name(f".clock-{self.token}")
        clock.touch()
        try:
            return clock.stat().st_mtime
        finally:
            clock.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(self.path)
            except OSError:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        try:
            if json.loads(self.path.read_text(encoding="utf-8")).get("token") == self.token:
                self.path.unlink()
        except (OSError, ValueError):
            return


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    # A zombie has released everything that it held.
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[:1] == ["Z"])
