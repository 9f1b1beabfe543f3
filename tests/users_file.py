"""A predictions file with exactly the real one's distribution of labels and breakages, and what must become of it.

The real file has 1,836 rows: 559 ``increase``, 398 ``decrease``, 560 ``error``, 122 echoed templates and 197 hedges in
29 spellings. Each row here is made with the outcome that a careful reader would give it, known in advance.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from tests.conftest import statement

HEDGES = {
    "moderate increase": (40, "increase"),
    "uncertain": (39, None),
    "possible increase": (21, "increase"),
    "slight decrease": (17, "decrease"),
    "slight increase": (15, "increase"),
    "steady": (9, None),
    "stable": (8, None),
    "likely increase": (6, "increase"),
    "potential decrease": (5, "decrease"),
    "modest increase": (4, "increase"),
    "neutral": (4, None),
    "stabilize or slight uptick": (3, None),
    "increase moderately": (3, "increase"),
    "decrease slightly": (3, "decrease"),
    "uncertain but likely decrease": (2, "decrease"),
    "mixed": (2, None),
    "no change": (2, None),
    "increase or decrease": (2, "ambiguous"),
    "gradual increase": (1, "increase"),
    "marginal decrease": (1, "decrease"),
    "moderate decrease": (1, "decrease"),
    "flat": (1, None),
    "volatile": (1, None),
    "probable increase": (1, "increase"),
    "sharp decrease": (1, "decrease"),
    "strong increase": (1, "increase"),
    "increase (conditional)": (1, "increase"),
    "remain the same": (2, None),
    "n/a": (1, None),
}
"""The 29 spellings: how many rows, and the label they mean (None: none)."""

BROKEN = {
    "unescaped quotes": 140,
    "stray line": 120,
    "text behind the block": 80,
    "trailing comma": 60,
    "prose only": 50,
    "two blocks": 40,
    "cut inside the block": 20,
    "cut before the block": 20,
    "template in the block": 15,
    "hedge in the block": 15,
}
"""The 560 ``error`` rows: what is wrong with the answer."""


@dataclass(frozen=True)
class Expected:
    """What must become of a row: its label, source and flags, or the reason of its reject."""

    label: str | None = None
    source: str = ""
    flags: tuple[str, ...] = ()
    reason: str = ""


def users_file(seed: int = 0) -> list[tuple[dict, Expected]]:
    """Return 1,836 records in random order, each with its expected outcome."""
    rng = random.Random(seed)
    cases = [*_clean(), *_errors(), *_templates(), *_hedges()]
    rng.shuffle(cases)
    return [(_record(index, rng, *case[:2]), case[2]) for index, case in enumerate(cases)]


def _record(index: int, rng: random.Random, predicted: str, text: str) -> dict:
    actual = "increase" if rng.random() < 2 / 3 else "decrease"
    is_error = predicted == "error"
    return {
        "company_id": 1000 + index // 6,
        "year": 1970 + index % 6,
        "actual_label": actual,
        "predicted_direction": predicted,
        "magnitude": "Error" if is_error else "Moderate",
        "certainty": "Error" if is_error else "Medium",
        "reason": "Error in parsing JSON: Expecting ',' delimiter" if is_error else "Margins.",
        "is_match": predicted == actual,
        "full_model_response": (
            "system\nYou are a helpful assistant.\nuser\nBased on the following statements, assess whether "
            f"EPS will increase or decrease:\n\n{statement(rng)}\n\nAnswer in JSON: <Increase/Decrease>\n"
            f"assistant\n{text}"
        ),
    }


REASONING = "### Analysis\nSales increase while costs decrease; the assistant sees net income up from 12.5 to 9.75.\n"


def _block(value: str, reason: str = "Margins increase or decrease with costs.") -> str:
    return (
        '```json\n{\n  "direction_of_eps_change": ' + json.dumps(value) + ',\n  "magnitude_of_change": "Slight",\n'
        '  "certainty_of_assessment": "High",\n  "reason": "' + reason + '"\n}\n```'
    )


def _clean() -> list[tuple[str, str, Expected]]:
    cases = []
    for label, other, number in (("increase", "decrease", 559), ("decrease", "increase", 398)):
        for index in range(number):
            said = other if index < 4 else label  # the record and the answer contradict each other in 8 rows
            flags = ("contradiction",) if index < 4 else ()
            cases.append((label, REASONING + _block(said.title()), Expected(label, "field", flags)))
    return cases


def _errors() -> list[tuple[str, str, Expected]]:
    cases = []
    for kind, number in BROKEN.items():
        for index in range(number):
            label = ("increase", "decrease")[index % 2]
            text, expected = _broken(kind, label, ("decrease", "increase")[index % 2])
            cases.append(("error", REASONING + text, expected))
    return cases


def _broken(kind: str, label: str, other: str) -> tuple[str, Expected]:
    value = label.title()
    repaired = Expected(label, "repaired_json")
    if kind == "unescaped quotes":
        return _block(value, 'the "quality" of earnings'), repaired
    if kind == "stray line":
        block = _block(f"Moderate {value}").replace('"\n}', '"\n"\n}')
        return block, Expected(label, "repaired_json", ("hedged_label",))
    if kind == "text behind the block":
        return f"{_block(value)}\nThis assumes that costs neither increase nor decrease.", Expected(label, "json")
    if kind == "trailing comma":
        return _block(value).replace('"\n}', '",\n}'), repaired
    if kind == "prose only":
        return f"Costs may {other} a little. Therefore I expect EPS to {label} next year.", Expected(
            label, "response_text"
        )
    if kind == "two blocks":
        last = _block(value, 'a "better" look')
        return f"{_block(other.title())}\nOn reflection:\n{last}", repaired
    if kind == "cut inside the block":
        return _block(value).partition('"magnitude')[0], repaired
    if kind == "cut before the block":
        return "The outlook for the next year", Expected(reason="no_label")
    if kind == "template in the block":
        return _block("<Increase/Decrease>", 'why "so"'), Expected(reason="template_echo")
    assert kind == "hedge in the block"
    return _block("Uncertain", 'why "so"'), Expected(reason="no_label")


def _templates() -> list[tuple[str, str, Expected]]:
    echo = ("<increase/decrease>", REASONING + _block("<Increase/Decrease>"), Expected(reason="template_echo"))
    said = ("<increase/decrease>", REASONING + _block("Increase"), Expected("increase", "json"))
    return [echo] * 110 + [said] * 12


def _hedges() -> list[tuple[str, str, Expected]]:
    cases = []
    for spelling, (number, label) in HEDGES.items():
        if label in ("increase", "decrease"):
            expected = Expected(label, "field", ("hedged_label",))
        else:
            expected = Expected(reason="ambiguous_label" if label else "no_label")
        cases += [(spelling, REASONING + _block(spelling.title()), expected)] * number
    return cases
