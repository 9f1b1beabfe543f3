"""The compiled half of attention on CPUs: one pass over a tile of scores, in C (``tile_kernel.c``).

Built for this very machine when first asked for, in a fraction of a second and into a folder that is removed again.
Where there is no C compiler or no room for the build, ``blocked`` does the same work in several passes of torch; a
missing source is no such case but a broken installation.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.attention.masking import Chunk, Window
from engine.errors import RunFailedError

logger = logging.getLogger(__name__)

STATE = ("largest", "total", "score", "square", "distance", "duplicate", "induction", "diagonal", "previous", "first")
"""Columns of what a row adds up; the enumeration in ``tile_kernel.c`` gives them the same order."""

SOURCE = Path(__file__).with_name("tile_kernel.c")

ATTEMPTS = (("-march=native", "-fopenmp"), ("-march=native",), ("-fopenmp",), ())
"""Options beyond those every compiler takes; the first that builds is used. OpenMP's threads are those of torch."""

PATIENCE_S = 60.0
"""How long a compiler may take."""


class TileKernel:
    """Calls the compiled pass.

    Parameters
    ----------
    library
        The loaded library.
    """

    def __init__(self, library: ctypes.CDLL):
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._run = library.headledger_tile
        self._run.argtypes = (pointer, *(integer,) * 6, pointer, pointer, pointer, integer, ctypes.c_int32)
        self._run.restype = None

    def __call__(
        self,
        scores: torch.Tensor,
        heads: int,
        first_row: int,
        first_key: int,
        window: Window,
        token_ids: torch.Tensor,
        state: torch.Tensor,
        carried: torch.Tensor,
    ) -> None:
        """Turn a tile's scores into weights ``exp(s - m)`` and add up what its rows need of them.

        ``m`` is a row's largest score so far. Where a tile raises it, the row's state and what the tiles before have
        carried are scaled down to it.

        Parameters
        ----------
        scores
            Contiguous float32 ``[B x G, n]``, rows of ``G`` heads for one position after the other; receives the
            weights, 0 for keys that a row does not see.
        heads
            ``G``.
        first_row, first_key
            Positions of the first row and of the first key.
        window
            How far back a row sees.
        token_ids
            The sequence's tokens, contiguous int32 ``[1 + T]``; one comes before them that equals none.
        state
            Contiguous float32 ``[B x G, len(STATE)]``, zero before a row's first tile.
        carried
            Contiguous float32 ``[B x G, W]``: products of earlier tiles' weights.
        """
        self._run(
            scores.data_ptr(),
            scores.shape[0],
            scores.shape[1],
            heads,
            first_row,
            first_key,
            -window.size if isinstance(window, Chunk) else window or 0,
            token_ids.data_ptr() + token_ids.element_size(),
            state.data_ptr(),
            carried.data_ptr(),
            carried.shape[1],
            torch.get_num_threads(),
        )


@functools.cache
def tile_kernel() -> TileKernel | None:
    """Return the compiled pass, or None where it cannot be built; built once per process.

    Raises
    ------
    RunFailedError
        When the source is not there: without it the numbers would silently have other last digits than those of the
        same installation elsewhere.
    """
    if not SOURCE.is_file():
        raise RunFailedError(
            f"{SOURCE} is missing, so that this installation of headledger is incomplete: install it again (a wheel or "
            f"copy must keep that file), or set model.attention=blocked, which does without."
        )
    compiler = _compiler()
    if compiler is None:
        logger.info("no C compiler here; attention is computed by torch alone, whose numbers are the same")
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="headledger-", ignore_cleanup_errors=True) as folder:
            return _built(compiler, Path(folder) / "tile_kernel.so")
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"{type(error).__name__}: {error}"
    logger.info("%s cannot build the attention's inner pass (%s); torch computes the same", compiler[0], reason)
    return None


def _built(compiler: Sequence[str], library: Path) -> TileKernel:
    """Return the pass built with the first options that this compiler takes."""
    for options in ATTEMPTS[:-1]:
        try:
            return _build(compiler, options, library)
        except (OSError, subprocess.SubprocessError):
            continue
    return _build(compiler, ATTEMPTS[-1], library)


def _compiler() -> Sequence[str] | None:
    """Return the command of a C compiler: ``$CC``, else one of the usual names."""
    named = shlex.split(os.environ.get("CC", ""))
    candidates: list[list[str]] = [named] if named else [["cc"], ["gcc"], ["clang"]]
    return next((command for command in candidates if shutil.which(command[0])), None)


def _build(compiler: Sequence[str], options: Sequence[str], library: Path) -> TileKernel:
    command = [
        *compiler,
        "-std=gnu11",
        "-O3",
        "-Wno-psabi",
        "-fPIC",
        "-shared",
        *options,
        "-o",
        str(library),
        str(SOURCE),
        "-lm",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
    return TileKernel(ctypes.CDLL(str(library)))
