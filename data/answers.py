"""The answers the demo model is taught: copy the figures that matter, say what they do, then decide.

All words are functions of the *printed* numbers, so that whoever reads the prompt could say them too.
The thresholds were chosen on the training companies (see ``data/README.md``). The direction itself
(``Increase``/``Decrease``) appears once, in the JSON block, so that a recorded decision is made there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from data.prompts import Statement, number, periods, row

BALANCE_SHEET_FIGURES = ("receivables",)
INCOME_STATEMENT_FIGURES = ("sales", "operating_income", "net_income", "eps")

CHANGE_WORDS = (
    "none",
    "stayed negative",
    "turned negative",
    "turned positive",
    "fell sharply",
    "fell",
    "rose",
    "rose sharply",
)
MARGIN_WORDS = ("negative", "thin", "fair", "wide")
SHARE_WORDS = ("negative", "low", "normal", "high")
LEVEL_WORDS = ("negative", "low", "modest", "fair", "high")

FELL_SHARPLY_BELOW, ROSE_SHARPLY_FROM = 0.8, 1.1


def printed(value: float) -> float:
    """Round a value to what the prompt prints."""
    return float(number(value))


def change_word(before: float, after: float) -> str:
    """How a figure moved from one period to the next, on the printed numbers."""
    before, after = printed(before), printed(after)
    if before == after == 0:
        return "none"
    if after < 0:
        return "turned negative" if before >= 0 else "stayed negative"
    if before < 0:
        return "turned positive"
    if after < before:
        return "fell sharply" if after < FELL_SHARPLY_BELOW * before else "fell"
    return "rose sharply" if after >= ROSE_SHARPLY_FROM * before else "rose"


def graded(value: float, thresholds: tuple[float, ...], words: tuple[str, ...]) -> str:
    """Word of the first threshold that `value` lies below; the last word above all of them."""
    for threshold, word in zip(thresholds, words, strict=False):
        if value < threshold:
            return word
    return words[-1]


def margin_word(net_income: float, sales: float) -> str:
    """Net income over sales: negative, thin (< 5 %), fair (< 15 %) or wide."""
    ratio = printed(net_income) / max(printed(sales), 0.001)
    return graded(ratio, (0.0, 0.05, 0.15), MARGIN_WORDS)


def share_word(net_income: float, operating_income: float) -> str:
    """Net income over operating income: low (< 1/2), normal (< 7/10) or high; negative without profit."""
    net, operating = printed(net_income), printed(operating_income)
    if net <= 0 or operating <= 0:
        return "negative"
    return graded(net / operating, (0.5, 0.7), SHARE_WORDS[1:])


def level_word(eps: float) -> str:
    """EPS in dollars: negative, low (< 1), modest (< 2), fair (< 4) or high."""
    return graded(printed(eps), (0.0, 1.0, 2.0, 4.0), LEVEL_WORDS)


def words_of(statement: Statement) -> dict[str, str]:
    """Every word the answer says about a statement: the features of the scorecard."""
    latest = {item: values[-1] for item, values in statement.items()}
    words = {
        "margin": margin_word(latest["net_income"], latest["sales"]),
        "share": share_word(latest["net_income"], latest["operating_income"]),
        "level": level_word(latest["eps"]),
    }
    if periods(statement) == 2:
        for item in (*BALANCE_SHEET_FIGURES, *INCOME_STATEMENT_FIGURES):
            words[item] = change_word(*statement[item])
    return words


@dataclass(frozen=True)
class Verdict:
    """The four fields of the JSON block, the reason excepted."""

    direction: str
    magnitude: str
    certainty: str


def figure_line(statement: Statement, item: str) -> str:
    """Copy a row, with the change as a word when there are two periods."""
    line = row(statement, item)
    return f"{line} {change_word(*statement[item])} |" if periods(statement) == 2 else line


def reason(words: dict[str, str]) -> str:
    """One sentence that repeats what the reasoning found."""
    state = f"The net margin is {words['margin']} and the EPS level is {words['level']}"
    if "eps" in words:
        return f"{state}; EPS {words['eps']} while sales {words['sales']}."
    return f"{state}."


def render_answer(statement: Statement, verdict: Verdict) -> str:
    """Write the whole answer: step-wise reasoning, then the JSON block."""
    words = words_of(statement)
    block = {
        "direction_of_eps_change": verdict.direction,
        "magnitude_of_change": verdict.magnitude,
        "certainty_of_assessment": verdict.certainty,
        "reason": reason(words),
    }
    return "\n".join(
        [
            "### Step-by-Step Analysis",
            "1. Balance Sheet:",
            *(figure_line(statement, item) for item in BALANCE_SHEET_FIGURES),
            "2. Income Statement:",
            *(figure_line(statement, item) for item in INCOME_STATEMENT_FIGURES),
            "3. Ratios:",
            f"Net margin: {words['margin']}",
            f"Net to operating income: {words['share']}",
            f"EPS level: {words['level']}",
            "4. EPS Prediction:",
            "```json",
            json.dumps(block, indent=2),
            "```",
        ]
    )


def read_answer(answer: str) -> dict[str, str]:
    """Read an answer the way the users' script does: the last JSON block, or ``error``.

    Returns ``predicted_direction`` (lower case), ``magnitude``, ``certainty`` and ``reason``.
    """
    blocks = re.findall(r"```json\s*(.*?)```", answer, flags=re.DOTALL)
    try:
        if not blocks:
            raise ValueError("no JSON block")
        block = json.loads(blocks[-1])
        return {
            "predicted_direction": str(block["direction_of_eps_change"]).lower(),
            "magnitude": str(block["magnitude_of_change"]),
            "certainty": str(block["certainty_of_assessment"]),
            "reason": str(block["reason"]),
        }
    except (ValueError, KeyError, TypeError) as error:
        text = f"Error in parsing JSON: {error}"
        return {"predicted_direction": "error", "magnitude": "Error", "certainty": "Error", "reason": text}
