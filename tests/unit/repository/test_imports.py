"""The import rules of docs/architecture.md: who may import whom, and which foreign library lives in which room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.places import ROOT

LEAVES = {
    "engine.interruptions",
    "engine.errors",
    "engine.samples",
    "engine.encoded_samples",
    "engine.shared_prefixes",
}
"""What everybody in ``engine`` may import: signals, errors, records that are passed along, and which begin alike."""

MAY_IMPORT: dict[str, tuple[str, str]] = {
    # room: (rooms it may import, foreign libraries that live in it; NumPy may live anywhere)
    "engine.interruptions": ("", ""),
    "engine.errors": ("", ""),
    "engine.samples": ("", ""),
    "engine.encoded_samples": ("", ""),
    "engine.shared_prefixes": ("", ""),
    "engine.tolerances": ("", ""),
    "engine.schema": ("", "pyarrow"),
    "engine.sections": ("", "pydantic"),
    "engine.statements": ("", ""),
    "analyses.wording": ("engine.schema", ""),
    "analyses.design": ("", ""),
    "analyses.cores": ("", "threadpoolctl"),
    "analyses.settings": ("engine.schema engine.sections", "pydantic"),
    "analyses.inference": ("", "scipy sklearn"),
    "analyses.runs": ("analyses.settings analyses.wording analyses.cores engine.schema", "polars pyarrow yaml"),
    "analyses.charts": (
        "analyses.settings analyses.design analyses.wording analyses.cores",
        "altair polars vl_convert",
    ),
    "analyses.questions": (
        "analyses.runs analyses.inference analyses.settings analyses.charts analyses.wording analyses.cores "
        "engine.schema",
        "polars scipy",
    ),
    "analyses.reporting": (
        "analyses.questions analyses.cores analyses.runs analyses.charts analyses.settings analyses.design "
        "analyses.wording engine.schema engine.errors",
        "jinja2 polars pyarrow rich",
    ),
    "analyses.comparing": (
        "analyses.reporting analyses.questions analyses.runs analyses.inference analyses.charts analyses.settings "
        "analyses.wording engine.schema",
        "polars scipy",
    ),
    "analyses.report": (
        "analyses.comparing analyses.reporting analyses.settings analyses.runs engine.errors engine.interruptions",
        "",
    ),
    "analyses.querying": ("", "sqlglot"),
    "analyses.query": (
        "analyses.querying analyses.runs engine.schema engine.errors engine.interruptions",
        "polars pyarrow",
    ),
    "analyses.viewing": (
        "analyses.query analyses.querying analyses.runs analyses.charts analyses.settings analyses.design "
        "analyses.wording engine.schema",
        "jinja2 polars",
    ),
    "analyses.view": ("analyses.viewing analyses.runs analyses.settings engine.errors engine.interruptions", ""),
    "analyses.exporting": ("analyses.runs", "polars"),
    "analyses.export": ("analyses.exporting analyses.runs engine.errors engine.interruptions", ""),
    "engine.attention": ("engine.schema", "torch transformers triton"),
    "engine.config": ("engine.sections engine.attention analyses.settings", "pydantic yaml"),
    "engine.machine": ("engine.config", "pyarrow torch"),
    "engine.inputs": ("engine.config", "json_repair pyarrow"),
    "engine.model": ("engine.sections engine.config engine.machine", "accelerate huggingface_hub torch transformers"),
    "engine.encoding": (
        "engine.inputs engine.model engine.statements engine.config engine.schema",
        "jinja2 pyarrow transformers",
    ),
    "engine.measuring": (
        "engine.attention engine.model engine.machine engine.config engine.schema engine.tolerances",
        "pyarrow torch transformers",
    ),
    "engine.interventions": ("engine.attention engine.model", "torch"),
    "engine.storage": ("engine.inputs engine.model engine.machine engine.config engine.schema", "pyarrow yaml"),
    "engine.causal": (
        "engine.measuring engine.interventions engine.attention engine.model engine.statements engine.inputs "
        "engine.storage engine.machine engine.config engine.schema engine.tolerances",
        "pyarrow torch",
    ),
    "engine.generation": ("engine.interventions engine.model engine.machine engine.config", "torch transformers"),
    "engine.workers": (
        "engine.causal engine.generation engine.measuring engine.interventions engine.encoding engine.storage "
        "engine.model engine.machine engine.config engine.schema",
        "pyarrow torch",
    ),
    "engine.executors": (
        "engine.workers engine.storage engine.model engine.machine engine.config engine.schema",
        "pyarrow ray rich",
    ),
    "engine.planning": (
        "engine.encoding engine.inputs engine.model engine.storage engine.machine engine.config engine.schema",
        "rich torch",
    ),
    "engine.drafting": ("engine.inputs engine.config", "yaml"),
    "engine.stages": (
        "engine.planning engine.executors engine.causal engine.measuring engine.encoding engine.inputs "
        "engine.model engine.storage engine.machine engine.config engine.schema analyses.settings analyses.runs "
        "analyses.reporting",
        "pyarrow",
    ),
    "engine.init": ("engine.drafting engine.inputs", ""),
    "engine.run": ("engine.stages engine.executors engine.config", ""),
    "engine.commands": ("", ""),  # loads the command line that is asked for by its name
    "engine.notebook": (
        "engine.stages engine.causal engine.generation engine.measuring engine.interventions "
        "engine.attention engine.encoding engine.inputs engine.model engine.storage engine.machine engine.config "
        "engine.schema analyses.settings analyses.runs analyses.inference analyses.questions analyses.charts "
        "analyses.reporting",
        "polars pyarrow scipy torch transformers yaml",
    ),
}
"""Every room above what it rests on: a room may import rows before its own only, so that there can be no circle."""

HOMES = {
    "ray": ("engine/executors/over_ray/",),
    "triton": ("engine/attention/backends/fused/",),
    "altair": ("analyses/charts/",),
    "sklearn": ("analyses/inference/held_out/",),
}
"""Libraries whose home within a room is narrower: the files (by the beginning of their path) that may import them."""

LARGEST_ROOM = 13
"""Modules in one folder, its ``__init__`` aside."""


def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


FILES = sorted(p for package in ("engine", "analyses") for p in (ROOT / package).rglob("*.py"))
BY_NAME = {path.relative_to(ROOT).as_posix(): imports_of(path) for path in FILES}


def module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(name) for name in BY_NAME}


def room_of(dotted: str) -> str:
    return ".".join(dotted.split(".")[:2])


def rooms_imported(name: str) -> set[str]:
    """Return the rooms that a file imports from, its own aside."""
    ours = {room_of(n) for n in BY_NAME[name] if n.split(".")[0] in ("engine", "analyses")}
    return {room for room in ours if "." in room and room in {room_of(m) for m in MODULES}} - {room_of(module_of(name))}


def foreign_imported(name: str) -> set[str]:
    roots = {n.split(".")[0] for n in BY_NAME[name]}
    return roots - set(sys.stdlib_module_names) - {"engine", "analyses", "numpy"}


def test_the_walk_sees_the_packages():
    assert "engine/run.py" in BY_NAME and "analyses/report.py" in BY_NAME
    assert "engine.schema" in rooms_imported("analyses/query.py")


def test_every_room_has_a_row():
    rooms = {room_of(module_of(name)) for name in BY_NAME} - {"engine", "analyses"}
    assert rooms == set(MAY_IMPORT)


def test_rooms_rest_on_rooms_above_them():
    above: set[str] = set()
    for room, (may, _) in MAY_IMPORT.items():
        assert set(may.split()) <= above, f"{room} would import upward: {set(may.split()) - above}"
        above.add(room)


@pytest.mark.parametrize("name", BY_NAME)
def test_data_flows_one_way(name):
    room = room_of(module_of(name))
    if room not in MAY_IMPORT:
        assert not rooms_imported(name)
        return
    may = set(MAY_IMPORT[room][0].split()) | (LEAVES if room.startswith("engine.") else set())
    assert rooms_imported(name) <= may, f"{name} may not import {rooms_imported(name) - may}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_row_allows_what_nobody_needs(room):
    files = [name for name in BY_NAME if room_of(module_of(name)) == room]
    needed = set().union(*(rooms_imported(name) for name in files))
    libraries = set().union(*(foreign_imported(name) for name in files))
    may, foreign = MAY_IMPORT[room]
    assert set(may.split()) <= needed and set(foreign.split()) <= libraries


@pytest.mark.parametrize("name", BY_NAME)
def test_foreign_libraries_live_in_their_rooms(name):
    room = room_of(module_of(name))
    allowed = set(MAY_IMPORT[room][1].split()) if room in MAY_IMPORT else set()
    assert foreign_imported(name) <= allowed, f"{name} imports {foreign_imported(name) - allowed}"
    for library, homes in HOMES.items():
        assert library not in foreign_imported(name) or name.startswith(homes)
    if any("AttentionInterface" in n or "AttentionMaskInterface" in n for n in BY_NAME[name]):
        assert name == "engine/attention/interface.py"


def test_a_question_knows_no_other():
    questions = {
        name.split("/")[2] for name in BY_NAME if name.startswith("analyses/questions/") and name.count("/") > 2
    }
    assert questions
    for name in BY_NAME:
        parts = name.split("/")
        if len(parts) > 3 and parts[1] == "questions":
            others = {n.split(".")[2] for n in BY_NAME[name] if n.startswith("analyses.questions.")}
            assert not others & (questions - {parts[2]}), f"{name} rests on another question"


def test_no_file_is_part_of_a_circle():
    edges = {module_of(name): {n for n in BY_NAME[name] if n in MODULES and n != module_of(name)} for name in BY_NAME}
    left = {module: set(needs) for module, needs in edges.items()}
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"circles among {sorted(left)}"


def test_rooms_are_small():
    for folder in {path.parent for path in FILES}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= LARGEST_ROOM, f"{folder.relative_to(ROOT)} holds {len(modules)} modules"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("engine.schema", ["torch", "transformers", "ray", "polars"]),
        ("analyses", ["torch", "ray", "polars"]),
        ("analyses.comparing.page", ["torch", "ray", "transformers"]),
        ("analyses.settings.checks", ["torch", "ray", "polars", "scipy", "sklearn", "altair"]),
        ("engine.config", ["torch", "ray", "polars", "pyarrow", "scipy", "altair"]),
        ("engine.run", ["pyarrow", "pydantic", "torch", "ray", "polars"]),
        ("engine.workers.replica", ["ray", "polars"]),
        ("engine.planning.prepare", ["ray", "polars"]),
    ],
)
def test_light_modules_load_nothing_heavy(module, absent):
    code = f"import {module}, sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
