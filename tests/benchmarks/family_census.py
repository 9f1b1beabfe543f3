"""What becomes of every causal model type, and every vision model around one, that the installed transformers knows.

``python -m tests.benchmarks.family_census [--types qwen2 gpt_oss ...] [--output FILE]`` builds a tiny random model of
each type, measures three samples of it, longer than every window and chunk, as a run would, and compares every number
with the model's own eager attention, one sample at a time, in float64. One line each, totals on top. A type that
crashes or hangs costs itself alone: each has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import torch
import transformers

from tests.fixtures.family_judgement import Verdict, judge, plan_refusal
from tests.fixtures.tiny_models import VOCABULARY, causal_types, tiny_config, tiny_model, vision_types

PATIENCE_S = 150
OUTCOMES = (
    "exact",
    "wrong",
    "traceback",
    "rejected",
    "refused in the plan",
    "refused before measuring",
    "not buildable",
)


def verdict(kind: str) -> Verdict:
    """Return what becomes of a type, in this process."""
    try:
        model = tiny_model(kind)
        refused = plan_refusal(model.config, tiny_config(kind))
        if refused is not None:
            return refused
        with torch.no_grad():
            model(torch.randint(4, VOCABULARY, (1, 20)), use_cache=False)
    except Exception as error:  # whatever a config's defaults do not hold together
        return Verdict("not buildable", _first_line(error))
    try:
        return judge(model, VOCABULARY)
    except Exception as error:  # what the census is there to find
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Verdict("traceback", f"{_first_line(error)} ({Path(where.filename).name}:{where.lineno})")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def guarded(kind: str) -> Verdict:
    """Return what becomes of a type, in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        torch.set_num_threads(1)
        try:
            result = verdict(kind)
            os.write(writing, json.dumps([result.outcome, result.words]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    parts = []
    while part := os.read(reading, 65536):
        parts.append(part)
    os.close(reading)
    os.waitpid(child, 0)
    return Verdict(*json.loads(b"".join(parts))) if parts else Verdict("traceback", "its process died or hung")


def table(verdicts: dict[str, Verdict]) -> str:
    """Return totals and one line per type, as Markdown; text decoders of vision models have a section of their own."""
    vision = set(vision_types())
    sections = (
        (f"types of transformers {transformers.__version__}", [kind for kind in verdicts if kind not in vision]),
        ("vision models around a text decoder, on text", [kind for kind in verdicts if kind in vision]),
    )
    lines: list[str] = []
    for name, kinds in sections:
        if not kinds:
            continue
        totals = Counter(verdicts[kind].outcome for kind in kinds)
        counts = ", ".join(f"{totals[outcome]} {outcome}" for outcome in OUTCOMES)
        lines += [
            f"{len(kinds)} {name}: {counts}.",
            "",
            "| type | outcome | largest deviation, or why |",
            "|---|---|---|",
        ]
        lines += [f"| {kind} | {verdicts[kind].outcome} | {verdicts[kind].words.replace('|', '/')} |" for kind in kinds]
        lines.append("")
    return "\n".join(lines).rstrip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", nargs="+", default=[*causal_types(), *vision_types()])
    parser.add_argument("--output", type=Path, help="a file for the table")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    verdicts: dict[str, Verdict] = {}
    begun = time.perf_counter()
    for kind in arguments.types:
        started = time.perf_counter()
        verdicts[kind] = guarded(kind)
        seconds = time.perf_counter() - started
        print(
            f"{kind}: {verdicts[kind].outcome}: {verdicts[kind].words} ({seconds:.0f} s)", file=sys.stderr, flush=True
        )
    print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    print(table(verdicts))
    if arguments.output:
        arguments.output.write_text(table(verdicts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
