"""Names, units and numbers in plain words, the same in charts, sentences and tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Literal

from engine.schema import MASS_PREFIX, NORM_MASS_PREFIX

_STATISTICS = {
    "entropy_nats": "Entropy",
    "entropy_normalized": "Entropy relative to uniform",
    "diagonal": "Weight on the token itself",
    "diagonal_excluding_first": "Weight on the token itself (without row 0)",
    "first_token": "Weight on the first token",
    "previous_token": "Weight on the previous token",
    "mean_distance": "Distance looked back",
    "mean_relative_distance": "Distance looked back, relative",
    "max_weight": "Largest single weight",
    "collision": "Concentration (sum of squares)",
    "duplicate_token": "Weight on earlier equal tokens",
    "induction": "Weight on what followed an equal token",
    "lookback_ratio": "Lookback ratio",
    "lookback_ratio_per_token": "Lookback ratio per token",
}

_UNITS = {"entropy_nats": "nats", "mean_distance": "tokens", "mean_relative_distance": "0 to 1"} | {
    "entropy_normalized": "0 to 1",
    "collision": "0 to 1",
    "lookback_ratio": "0 to 1",
    "lookback_ratio_per_token": "0 to 1",
}

_QUERY_GROUPS = {
    "all": "all tokens",
    "decision": "decision token",
    "response": "answer tokens",
    "reasoning": "reasoning tokens",
    "prompt": "prompt tokens",
    "thinking": "thought tokens",
    "answer": "answer tokens without the thought",
    "span": "tokens of the decision",
    "answer_target": "tokens of the right choice",
}


Noun = Literal["cluster", "sample", "statement"]
"""What ``analysis.nouns`` names."""

_nouns: ContextVar[Mapping[Noun, str]] = ContextVar("nouns", default=MappingProxyType({}))


@contextmanager
def named_by(nouns: Mapping[Noun, str]) -> Iterator[None]:
    """Call things as a config does (``analysis.nouns``) for as long as its report is made."""
    token = _nouns.set(nouns)
    try:
        yield
    finally:
        _nouns.reset(token)


def statement_noun() -> str:
    """Return what the text is called that a model judges: "statement", or as ``analysis.nouns`` has it."""
    return _nouns.get().get("statement", "statement")


def segment_label(name: str) -> str:
    """Return what a part of the text is called: its own name, or as ``analysis.nouns`` has it."""
    return statement_noun() if name == "statement" else name


def key_group_label(name: str) -> str:
    """Return a key group's name in words: ``balance_sheet`` is "balance sheet terms"."""
    fixed = {
        "first_token": "the first token",
        "beginning": "the first ten tokens",
        "number": "numbers",
        "percentage": "percentages",
        "year": "years",
        "statement": f"the {statement_noun()}",
        "instruction": "the instruction",
        "system": "the system message",
        "response": "the answer",
        "reasoning": "the reasoning",
        "prompt": "the prompt",
        "thinking": "its own thoughts",
        "answer": "the answer without the thought",
        "line_item": "line items",
        "current_period": "the current period",
        "prior_period": "the prior period",
        "magnitude_large": "large amounts",
        "magnitude_small": "small amounts",
        "evidence": "the evidence",
    }
    return fixed.get(name, f"{name.replace('_', ' ')} terms")


def statistic_label(name: str) -> str:
    """Return a statistic's name in words, without its unit."""
    if name.startswith(NORM_MASS_PREFIX):
        return f"Norm-weighted weight on {key_group_label(name.removeprefix(NORM_MASS_PREFIX))}"
    if name.startswith(MASS_PREFIX):
        return f"Weight on {key_group_label(name.removeprefix(MASS_PREFIX))}"
    return _STATISTICS.get(name, name.replace("_", " "))


def head_type_label(name: str) -> str:
    """Return a head type's name in words; "causal" is the users' name of heads that look at the previous token."""
    return "causal (previous token)" if name == "causal" else name


def statistic_unit(name: str) -> str:
    """Return the unit: nats, tokens, "0 to 1", or "share of attention" for weights."""
    return _UNITS.get(name, "share of attention")


def query_group_label(name: str) -> str:
    """Return whose attention a query group describes."""
    return _QUERY_GROUPS.get(name, f"{name.replace('_', ' ')} tokens")


def value_text(statistic: str, value: float | None) -> str:
    """Return a value with its unit: weights in percent."""
    if value is None or math.isnan(value):
        return "unknown"
    unit = statistic_unit(statistic)
    if unit == "share of attention":
        return f"{100 * value:.{_digits(100 * value)}f} %"
    return f"{value:.3g} {unit}" if unit in ("nats", "tokens") else f"{value:.3g}"


def difference_text(statistic: str, value: float | None) -> str:
    """Return a signed difference with its unit: weights in percentage points."""
    if value is None or math.isnan(value):
        return "unknown"
    unit = statistic_unit(statistic)
    if unit == "share of attention":
        return f"{points_text(value)} points"
    number = signed_text(value, 2)
    return f"{number} {unit}" if unit in ("nats", "tokens") else number


def signed_text(value: float, digits: int) -> str:
    """Return a signed number with so many significant digits, zeros too: "-1.40" stands beside "-1.35"."""
    return f"{value:+#.{digits}g}".removesuffix(".")


def points_text(share: float) -> str:
    """Return a signed share in percentage points, without the unit: "+2.0"."""
    return f"{100 * share:+.{_digits(100 * share)}f}"


def _digits(value: float) -> int:
    return 1 if abs(value) >= 1 or value == 0 else min(1 - math.floor(math.log10(abs(value))), 6)


def p_text(pvalue: float | None) -> str:
    """Return "p = 0.012", "p < 0.0001", or "p unknown"."""
    if pvalue is None or math.isnan(pvalue):
        return "p unknown"
    return "p < 0.0001" if pvalue < 0.0001 else f"p = {pvalue:.2g}"


def percent_text(value: float | None) -> str:
    """Return a proportion as percent with one decimal."""
    return "unknown" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def interval_name(alpha: float) -> str:
    """Return "95 % interval" for alpha 0.05."""
    return f"{100 * (1 - alpha):g} % interval"


def resampled_name(alpha: float) -> str:
    """Return what percentiles over redrawn clusters are called: they cover less often than they say."""
    return f"approximate {interval_name(alpha)}"


def headless_text(layers: Sequence[int]) -> str:
    """Return "layers 0 and 2 have no heads (recurrent layers or convolutions)"."""
    *before, last = map(str, layers)
    which = f"layers {', '.join(before)} and {last} have" if before else f"layer {last} has"
    return f"{which} no heads (recurrent layers or convolutions)"


def count_text(number: int, noun: str) -> str:
    """Return "1 sample", "2 samples", "12,000 companies"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {plural(noun)}"


def plural(noun: str) -> str:
    """Return "companies", "samples", "hypotheses"."""
    if noun.endswith("is"):
        return f"{noun[:-2]}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def cluster_noun(field: object) -> str:
    """Return what one cluster is, from the field that names it: "company_id" is a "company"; else "cluster"."""
    text = re.sub(r"[_\s-]*(id|name|key|code|number)$", "", str(field or ""), flags=re.IGNORECASE)
    return text.replace("_", " ").strip().lower() or "cluster"


def visible_token(token: str | None, max_length: int = 24) -> str:
    """Return a token's text with its white space made visible, cut to ``max_length`` characters."""
    text = re.sub(" {4,}", lambda run: f"␣×{len(run.group())}", token or "")
    text = text.replace(" ", "␣").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    text = text or "(empty)"
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"
