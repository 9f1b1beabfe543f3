"""A plan as a person reads it: aligned lines."""

from __future__ import annotations

from engine.inputs.label_values import counted
from engine.samples import FLAG_NAMES
from engine.storage.planned.plan import Plan, PlannedModel, Selection


def plan_lines(plan: Plan) -> list[str]:
    """Return the plan as an aligned table for a person."""
    rows = [*_rows_of_samples(plan), *_rows_of_labels(plan), *_rows_of_rejects(plan), *_rows_of_sizes(plan)]
    lines = [f"  {name:<32} {value}" for name, value in rows]
    return ["Plan", *lines, *(f"Warning: {warning}" for warning in plan.warnings)]


Rows = list[tuple[str, str]]
"""Lines of a table for a person: name and value."""


def _num_rows(plan: Plan) -> str:
    """Return the number of rows, and how many of them are answers of rows that hold several."""
    if not plan.num_rows_split:
        return f"{plan.num_rows:,}"
    return (
        f"{plan.num_rows:,}, {plan.num_answers_apart:,} of them the answers of {plan.num_rows_split:,} row(s) that "
        f"hold several (one cluster each)"
    )


def _rows_of_samples(plan: Plan) -> Rows:
    number, with_table = f"{plan.num_samples:,}", f"{plan.num_samples_with_statement:,}"
    return [
        ("files", _files(plan.files)),
        ("rows", _num_rows(plan)),
        *_rows_of_selection(plan.selection),
        ("samples to measure", number),
        ("decision positions found", f"{plan.num_decision_positions:,}"),
        ("labels read from", _counts(plan.samples_by_label_source)),
        ("predicted labels", _counts(plan.samples_by_predicted_label)),
        ("actual labels", _counts(plan.samples_by_actual_label)),
        ("predictions", _correctness(plan.samples_by_is_correct)),
        ("flags", _counts({flag: n for flag, n in plan.samples_by_flag.items() if FLAG_NAMES not in flag})),
        ("sequences from", _sources(plan)),
        *_rows_of_thoughts(plan),
        *(
            [
                (
                    "statements",
                    f"{with_table} of {number} samples hold a table, {plan.num_samples_with_periods:,} with periods",
                )
            ]
            if plan.num_samples_with_statement or "line_item" in plan.key_groups
            else []
        ),
    ]


_SOURCES = {
    "token_ids": "token_ids (recorded)",
    "rendered": "rendered (recorded prompts)",
    "template": "template (messages rendered)",
    "transcript": "transcript (word for word)",
}


def _sources(plan: Plan) -> str:
    if plan.num_samples and not plan.samples_by_sequence_source:
        return "not recorded (a plan of schema 1.0)"
    return _counts({_SOURCES[name]: count for name, count in plan.samples_by_sequence_source.items()})


def _rows_of_thoughts(plan: Plan) -> Rows:
    number = plan.num_samples_with_thought
    return [("thoughts", f"{number:,} of {plan.num_samples:,} samples hold one")] if number else []


def _rows_of_labels(plan: Plan) -> Rows:
    """Return what the records' label fields hold, and the languages of the answers."""
    rows: Rows = []
    for name, values in plan.label_values.items():
        empty = f"{values['num_empty']:,} row(s) without a value" if values["num_empty"] else ""
        known = counted(values["known"]) or "none that is a label"
        rows.append((f"values of {_shortened(name, 22)}", "; ".join(part for part in (known, empty) if part)))
        if values["unknown"]:
            others = values["num_unknown"] - sum(values["unknown"].values())
            rest = f", and {others:,} row(s) with others" if others else ""
            rows.append(("  unknown", counted(values["unknown"]) + rest))
    if plan.answers_by_language:
        rows.append(("languages of answers", _counts(plan.answers_by_language)))
    return rows


def _rows_of_rejects(plan: Plan) -> Rows:
    reasons = [
        (f"  {reason}", f"{count:,}   such as {_shortened(plan.examples_of_rejects[reason])}")
        for reason, count in plan.rejects_by_reason.items()
    ]
    return [("rejects", f"{plan.num_rejects:,}"), *reasons]


def _rows_of_sizes(plan: Plan) -> Rows:
    model = plan.model
    return [
        ("tokens", f"{plan.num_tokens:,} (longest sample {plan.max_sample_tokens:,})"),
        *_rows_of_sharing(plan),
        ("shards", f"{plan.num_shards:,} ({plan.num_batches:,} packed batches)"),
        ("model", _layers_and_heads(model)),
        *([("weights", f"quantised ({model.quantisation})")] if model.quantisation else []),
        ("predicted memory of a replica", size_text(plan.predicted_memory_bytes)),
        ("predicted size on disk", size_text(plan.predicted_disk_bytes)),
        *_rows_of_reading(plan),
        *_rows_of_fetching(plan),
    ]


def _rows_of_sharing(plan: Plan) -> Rows:
    """Return how many tokens are computed once for several samples, or why none are that could be."""
    rows: Rows = []
    if plan.num_shared_tokens:
        share = f"{plan.num_shared_tokens:,} of {plan.num_tokens:,} tokens are computed once for several samples"
        rows.append(("  shared", f"{share} ({plan.num_sharing_samples:,} begin like another one of their batch)"))
    if plan.num_prefixes_again:
        rows.append(
            (
                "  computed again",
                f"{plan.num_prefixes_again:,} beginnings of samples that an earlier shard has too; sort the file by "
                f"prompt, or raise cluster.samples_per_shard",
            )
        )
    return [*rows, ("  not shared", plan.why_unshared)] if plan.why_unshared else rows


def _rows_of_reading(plan: Plan) -> Rows:
    """Return what reading focus and received attention take, where they are asked for."""
    if not plan.predicted_reading_bytes:
        return []
    flop = plan.predicted_flop
    share = f", at most {flop.reading / flop.measure:.0%} of the arithmetic of measuring" if flop is not None else ""
    return [("  of it reading and receiving", f"{size_text(plan.predicted_reading_bytes)}{share}")]


def _rows_of_fetching(plan: Plan) -> Rows:
    """Return what retrieval and copy scores take, where they are asked for."""
    flop = plan.predicted_flop
    if flop is None or not flop.fetching:
        return []
    return [("retrieval and copying", f"about {flop.fetching / flop.measure:.0%} of the arithmetic of measuring")]


def _layers_and_heads(model: PlannedModel) -> str:
    if model.num_layers is None:
        return "unknown"
    text = f"{model.num_layers} layers x {model.num_heads} heads"
    none = ", ".join(map(str, model.headless_layers))
    return f"{text}, none in layer(s) {none}" if none else text


def _files(files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"{len(files):,}, from {files[0]} to {files[-1]}"


def _rows_of_selection(selection: Selection) -> Rows:
    """Return how samples were chosen; nothing when all of them were."""
    lines = [("filter", str(selection["filter"]))] if selection["filter"] else []
    if selection["num_selected"] == selection["num_available"]:
        return lines
    balance = f", balanced over {' x '.join(selection['balance'])}" if selection["balance"] else ""
    lines.append(
        (
            "chosen",
            f"{selection['num_selected']:,} of {selection['num_available']:,}, drawn with seed "
            f"{selection['seed']}{balance}",
        )
    )
    if selection["balance"]:
        lines += [
            (
                f"  {', '.join(f'{name} {value}' for name, value in part['stratum'].items())}",
                f"{part['selected']:,} of {part['available']:,}",
            )
            for part in selection["strata"]
        ]
    return lines


def _correctness(by: dict[str, int]) -> str:
    words = {"True": "right", "False": "wrong", "None": "unknown"}
    return _counts({words[name]: count for name, count in by.items()})


def _shortened(text: str, length: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _counts(by_name: dict[str, int]) -> str:
    named = (("unknown" if name == "None" else name, count) for name, count in by_name.items())
    return ", ".join(f"{name} {count:,}" for name, count in named) or "none"


def size_text(number: int | None) -> str:
    """Return a number of bytes in GiB or MiB; "unknown" for None."""
    return (
        "unknown" if number is None else f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
    )
