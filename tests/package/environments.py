"""An environment with the package installed, and commands that run in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Installed:
    """An environment with the wheel, and a folder without a checkout to start from."""

    def __init__(self, root: Path, folder: Path):
        self.root, self.folder = root, folder

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command of the environment in the folder and return what it printed."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"PATH": f"{self.root / 'bin'}:{environment['PATH']}", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [str(self.root / "bin" / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment,
            check=False,
        )
        assert done.returncode == code and "Traceback" not in done.stderr, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr
