"""Builds the fused attention's kernels ahead of time for GPUs that need not be there, and reads what they need.

``python -m tests.parity.fused_builds`` builds the shapes that matter most, ``--all`` every head dimension and dtype;
one line each: shared memory, registers per thread and bytes of registers spilled to memory. What is built is what a
launch would build: the arguments are recorded from a launch.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from engine.attention.backends import fused_row
from engine.attention.backends.backend import LayerCall
from engine.attention.layout import sequence_layout
from engine.attention.masking import Masking
from tests.parity.fused_cases import encoded

TARGETS = {80: ("A100", 163 * 1024), 90: ("H100, H200", 227 * 1024)}
"""Compute capability: cards, and bytes of shared memory that a block may have."""

POINTERS = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.int32: "i32",
    torch.float64: "fp64",
}


class Recorder:
    """Stands where a kernel is launched and keeps the arguments."""

    def __init__(self, kernel: Any):
        self.kernel = kernel
        self.launches: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]):
        return lambda *arguments, **options: self.launches.append((arguments, options))


def launches(
    head_dim: int,
    dtype: torch.dtype,
    capability: int,
    groups: int = 16,
    norms: bool = False,
    window: int | None = None,
    softcap: float | None = None,
) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """Return kernel, arguments and options of every launch for a layer of 28 heads on 4 KV heads."""
    layout = sequence_layout(encoded(64, 1, groups), 0, torch.device("cpu"))
    query = torch.zeros(28, 64, head_dim, dtype=dtype)
    key = torch.zeros(4, 64, head_dim, dtype=dtype)
    shares = torch.zeros(28, 64) if norms else None
    names = ("attention_kernel", "decision_kernel", "sums_kernel")
    recorders = [Recorder(getattr(fused_row, name)) for name in names]
    usual = fused_row.capability
    try:
        fused_row.capability = lambda device: (capability // 10, capability % 10)
        for name, recorder in zip(names, recorders, strict=True):
            setattr(fused_row, name, recorder)
        call = LayerCall(query, key, key, Masking(0.1, window, softcap), 0, shares)
        fused_row.FusedRow([layout]).attend(call, torch.empty_like(query).transpose(0, 1))
    finally:
        fused_row.capability = usual
        for name, recorder in zip(names, recorders, strict=True):
            setattr(fused_row, name, recorder.kernel)
    return [(recorder.kernel, *launch) for recorder in recorders for launch in recorder.launches]


def build(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int) -> tuple[int, int, int]:
    """Compile one launch; return shared bytes per block, registers per thread and spilled bytes."""
    names = kernel.arg_names
    given = dict(zip(names, arguments, strict=False)) | {n: v for n, v in options.items() if n in names}
    assert set(given) == set(names), set(names) - set(given)
    signature, constants, hints = {}, {}, {}
    for place, name in enumerate(names):
        value = given[name]
        if name in options:
            signature[name], constants[(place,)] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name] = "*" + POINTERS[value.dtype]
            hints[(place,)] = [["tt.divisibility", 16]]
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            signature[name] = "i32"
            if value % 16 == 0 and name not in kernel.do_not_specialize:
                hints[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, hints)
    settings = {name: value for name, value in options.items() if name not in names}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=settings)
    return compiled.metadata.shared, *_registers(compiled.asm["ptx"], capability)


def _registers(ptx: str, capability: int) -> tuple[int, int]:
    """Return registers per thread and spilled bytes, as the assembler that Triton brings reports them."""
    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    version = re.search(r"\.version (\d+\.\d+)", ptx)
    assert version is not None
    for assembler in ("ptxas", "ptxas-blackwell"):
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "kernel.ptx"
            path.write_text(ptx)
            command = [folder / assembler, "-v", "--gpu-name", "sm_90a" if capability == 90 else f"sm_{capability}"]
            done = subprocess.run([*command, path, "-o", path.with_suffix(".o")], capture_output=True, text=True)
        used = re.search(r"Used (\d+) registers", done.stderr)
        if used is not None:
            spilled = sum(map(int, re.findall(r"(\d+) bytes spill stores", done.stderr)))
            return int(used[1]), spilled
    raise RuntimeError(done.stderr)


def main() -> None:
    """Build and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    half = torch.bfloat16
    shapes: list[dict[str, Any]] = [
        {"head_dim": 128, "dtype": half, "capability": 90},
        {"head_dim": 128, "dtype": half, "capability": 80},
    ]
    if parser.parse_args().all:
        for capability in TARGETS:
            common = {"capability": capability}
            shapes += [{"head_dim": dim, "dtype": half, **common} for dim in (16, 64, 80, 256)]
            shapes += [{"head_dim": dim, "dtype": torch.float32, **common} for dim in (16, 64, 128, 256)]
            shapes.append({"head_dim": 128, "dtype": torch.float16, "norms": True, **common})
            shapes.append({"head_dim": 128, "dtype": half, "groups": 40, **common})
            shapes.append({"head_dim": 256, "dtype": half, "window": 4096, "softcap": 50.0, "norms": True, **common})
    for shape in shapes:
        cards, limit = TARGETS[shape["capability"]]
        for kernel, arguments, options in launches(**shape):
            started = time.perf_counter()
            shared, registers, spilled = build(kernel, arguments, options, shape["capability"])
            what = ", ".join(f"{name} {value}" for name, value in shape.items())
            print(
                f"{kernel.__name__} ({what}; {cards}): {'fits' if shared <= limit else 'TOO LARGE'}, {shared} bytes "
                f"shared, {registers} registers, {spilled} bytes spilled ({time.perf_counter() - started:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
