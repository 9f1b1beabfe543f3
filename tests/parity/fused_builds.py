"""Builds the fused attention's kernels ahead of time for GPUs that need not be there, and reads what they need.

``python -m tests.parity.fused_builds`` builds the shapes that matter most, ``--all`` every head dimension and dtype,
and writes ``fused_builds.md`` beside this file. One line each: shared memory, registers per thread, bytes of registers
spilled to memory, and, of the attention, how many instructions a thread issues per score that it holds in the loop over
tiles without hidden keys. What is built is what a launch would build: the arguments are recorded from a launch.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from engine.attention.backends.backend import LayerCall
from engine.attention.backends.fused import row as fused_row
from engine.attention.layout import sequence_layout
from engine.attention.masking import Masking
from tests.parity.fused_cases import encoded

TARGETS = {80: ("A100", 163 * 1024), 90: ("H100, H200", 227 * 1024)}
"""Compute capability: cards, and bytes of shared memory that a block may have."""

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"

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
    names = ("attention_kernel", "matches_kernel", "decision_kernel", "sums_kernel")
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


class Build(NamedTuple):
    """What a kernel needs: shared bytes per block, registers per thread, spilled bytes; instructions per score."""

    shared: int
    registers: int
    spilled: int
    per_score: float | None


def build(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int) -> Build:
    """Compile one launch and read what it needs."""
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
    per_score = None
    if kernel.__name__ == "attention_kernel":
        scores = given["M"] * given["N"] / (32 * options["num_warps"])
        per_score = _plain_loop(compiled.asm["cubin"]) / scores
    return Build(compiled.metadata.shared, *_registers(compiled.asm["ptx"], capability), per_score)


def _plain_loop(binary: bytes) -> int:
    """Return how many instructions a thread issues per tile in the second of three loops: no key of it is hidden."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "kernel.cubin"
        path.write_bytes(binary)
        command = [TOOLS / "nvdisasm", "-c", path]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    labels: dict[str, int] = {}
    loops: list[int] = []
    number = 0
    for line in lines:
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = number
        elif instruction := re.match(r"\s*/\*[0-9a-f]+\*/\s+(.*?);", line):
            back = re.search(r"BRA\b.*?(\.L_x_\d+)", instruction[1])
            if back is not None and back[1] in labels:
                loops.append(number + 1 - labels[back[1]])
            number += 1
    # Short ones wait for memory.
    loops = [length for length in loops if length > 16]
    assert len(loops) == 3, loops
    return loops[1]


def _registers(ptx: str, capability: int) -> tuple[int, int]:
    """Return registers per thread and spilled bytes, as the assembler that Triton brings reports them."""
    version = re.search(r"\.version (\d+\.\d+)", ptx)
    assert version is not None
    for assembler in ("ptxas", "ptxas-blackwell"):
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "kernel.ptx"
            path.write_text(ptx)
            command = [TOOLS / assembler, "-v", "--gpu-name", "sm_90a" if capability == 90 else f"sm_{capability}"]
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
    is_whole = parser.parse_args().all
    if is_whole:
        for capability in TARGETS:
            common = {"capability": capability}
            shapes += [{"head_dim": dim, "dtype": half, **common} for dim in (16, 64, 80, 256)]
            shapes += [{"head_dim": dim, "dtype": torch.float32, **common} for dim in (16, 64, 128, 256)]
            shapes.append({"head_dim": 128, "dtype": torch.float16, "norms": True, **common})
            shapes.append({"head_dim": 128, "dtype": half, "groups": 40, **common})
            shapes.append({"head_dim": 256, "dtype": half, "window": 4096, "softcap": 50.0, "norms": True, **common})
    lines = [
        "| kernel | head | cards | shared memory | registers | spilled | instructions per score |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for shape in shapes:
        cards, limit = TARGETS[shape["capability"]]
        what = ", ".join(_words(name, value) for name, value in shape.items() if name != "capability")
        for kernel, arguments, options in launches(**shape):
            built = build(kernel, arguments, options, shape["capability"])
            verdict = "fits" if built.shared <= limit else "TOO LARGE"
            per_score = "" if built.per_score is None else f"{built.per_score:.1f}"
            lines.append(
                f"| {kernel.__name__} | {what} | {cards} | {built.shared:,} bytes, {verdict} | {built.registers} | "
                f"{built.spilled} bytes | {per_score} |"
            )
            print(lines[-1], flush=True)
    if is_whole:
        lines += [
            "",
            f"28 heads on 4 KV heads, 16 key groups where no other number stands; triton {triton.__version__}.",
        ]
        Path(__file__).with_suffix(".md").write_text("\n".join([*lines, ""]))


def _words(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name
    return str(value).removeprefix("torch.") if name == "dtype" else f"{name} {value}"


if __name__ == "__main__":
    main()
