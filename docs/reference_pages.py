"""Pages of the reference, generated from what they describe: config models, schemas of tables, errors, JSON files.

mkdocs calls ``on_files``; nothing is written into the checkout.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any, is_typeddict

from config_reference import as_markdown, config_page, first_line, meanings, table

# ---------------------------------------------------------------- tables


def tables_page() -> str:
    """Return the page of every column of every table."""
    from analyses.questions.registry import QUESTIONS
    from engine.schema import table_schema
    from engine.schema.causal_tables import CAUSAL_TABLES, causal_schema
    from engine.schema.columns import SCHEMA_VERSION
    from engine.schema.tables import MEASURE_TABLES, OPTIONAL_TABLES

    groups = ["<key group>"]
    lines = [
        "# Every column of every table",
        "",
        f"Schema version {SCHEMA_VERSION}. `headledger query RUN_DIR --schema` prints those of a run, with its groups'",
        "names. A column that exists keeps its meaning, type and name; additions raise the minor version.",
        "",
        "## Measured: `shards/*/`",
        "",
    ]
    schemas = [
        (name, table_schema(name, groups, True, {"<name>": "text"}, lookback=True))
        for name in (*MEASURE_TABLES, *OPTIONAL_TABLES)
    ]
    schemas += [("rejects", table_schema("rejects", groups))]
    schemas += [(name, causal_schema(name, groups)) for name in CAUSAL_TABLES]
    for name, schema in schemas:
        grain = (schema.metadata or {}).get(b"grain", b"").decode()
        rows = []
        for field in schema:
            about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
            details = (
                str(field.type),
                about.get("unit", ""),
                about.get("range", ""),
                as_markdown(about["description"]),
            )
            rows.append((f"`{field.name}`", *details))
        lines += [f"### {name}", "", f"{grain[:1].upper()}{grain[1:]}.", ""]
        lines += table(("column", "type", "unit", "range", "meaning"), rows)
    lines += ["## Tested: `analysis/tables/`", ""]
    for question in QUESTIONS:
        for one in question.tables:
            note = " Only where there is something to say." if one.is_optional else ""
            lines += [f"### {one.name}", "", f"{one.grain[:1].upper()}{one.grain[1:]}.{note}", ""]
            rows = [
                (f"`{c.name}`", c.kind.__name__.lower(), c.unit, c.span, as_markdown(c.meaning)) for c in one.columns
            ]
            if one.others:
                rows.append(("others", "", "", "", as_markdown(one.others.replace("{}", "…"))))
            lines += table(("column", "type", "unit", "range", "meaning"), rows)
    return "\n".join(lines)


# ---------------------------------------------------------------- exit codes and JSON

EXIT_CODES = {
    "EXIT_DONE": "Done; a run is measured and verified.",
    "EXIT_FAILED": "Failed: something broke that is no mistake in config or file. What is committed is kept; the same "
    "command goes on.",
    "EXIT_CONFIG": "A config value, an argument or a query cannot be used; the message names it and what is allowed.",
    "EXIT_INPUT": "A predictions file or a run directory cannot be used.",
    "EXIT_STOPPED": "Stopped because it was asked to (SIGTERM, SIGUSR1, SIGINT, SIGHUP); the same command continues.",
}


def exit_codes_page() -> str:
    """Return the page of exit codes, with every kind of error that has one."""
    from engine import errors

    lines = ["# Exit codes", "", "The same for `headledger …` and `python -m …`.", ""]
    rows = sorted((getattr(errors, name), text) for name, text in EXIT_CODES.items())
    lines += table(("code", "means"), [(str(code), text) for code, text in rows])
    lines += ["## Errors by kind", "", "Each is one paragraph on standard error, without a traceback.", ""]
    kinds = [
        (f"`{kind.__name__}`", str(kind.exit_code), as_markdown(first_line(kind))) for kind in _errors(errors.UserError)
    ]
    lines += table(("kind", "code", "when"), kinds)
    return "\n".join(lines)


def _errors(base: type) -> list[Any]:
    """Return all kinds of errors for people, the whole package loaded."""
    import engine

    for module in pkgutil.walk_packages(engine.__path__, "engine."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, Any] = {}
    waiting = [base]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.__name__, kind)
        waiting += kind.__subclasses__()
    return [kind for _, kind in sorted(found.items()) if kind.__module__.startswith("engine")]


def json_page() -> str:
    """Return the page of JSON and YAML files of a run directory."""
    from engine.executors.progress import ProgressState
    from engine.planning.estimate import Estimate
    from engine.storage.planned.plan import Plan
    from engine.storage.records import Manifest, RunRecord, UnitFacts

    lines = [
        "# JSON and YAML files of a run",
        "",
        "Not-a-number and infinities are null. Keys may be added, and keep their meaning.",
        "What an analysis writes is on [a page of its own](results.md).",
        "",
    ]
    files = {
        "plan.json": Plan,
        "plan/estimate.json": Estimate,
        "progress.json": ProgressState,
        "run.yaml": RunRecord,
        "shards/*/manifest.json": Manifest,
        "facts of a manifest": UnitFacts,
    }
    for name, kind in files.items():
        lines += [f"## {name}", "", first_line(kind), ""]
        texts = {**_of_docstring(kind), **meanings(kind)}
        lines += table(
            ("key", "type", "holds"),
            [(f"`{key}`", f"`{of}`", as_markdown(texts.get(key, ""))) for key, of in _members(kind)],
        )
    return "\n".join(lines)


def _members(kind: Any) -> list[tuple[str, str]]:
    if is_dataclass(kind):
        return [(one.name, str(one.type)) for one in fields(kind)]
    assert is_typeddict(kind), kind
    tree = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(tree, ast.ClassDef)
    return [
        (node.target.id, ast.unparse(node.annotation).removeprefix("Required[").removesuffix("]"))
        if ast.unparse(node.annotation).startswith("Required[")
        else (node.target.id, ast.unparse(node.annotation))
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def _of_docstring(kind: type) -> dict[str, str]:
    """Return what the section Attributes of a docstring says of each name."""
    found: dict[str, str] = {}
    names: list[str] = []
    doc = (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")[2]
    for line in doc.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


# ---------------------------------------------------------------- mkdocs


PAGES = {
    "reference/config.md": config_page,
    "reference/tables.md": tables_page,
    "reference/exit-codes.md": exit_codes_page,
    "reference/json.md": json_page,
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; called by mkdocs before it reads any."""
    from mkdocs.structure.files import File

    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files
