"""The one tolerance table: quantity x dtype -> rtol, atol and why that much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two computations of a quantity may lie apart: ``|a - b| <= atol + rtol * |b|``."""

    rtol: float
    atol: float
    reason: str


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("mass", "float32"): Tolerance(0, 1e-6, "a sum of float32 weights; the weights carry the relative error of exp"),
    ("row sum", "float32"): Tolerance(0, 1e-4, "thousands of float32 weights added up; a lost key costs far more"),
    ("weight", "float32"): Tolerance(0, 1e-6, "one weight, or the sum of a few"),
    ("entropy", "float32"): Tolerance(0, 1e-5, "sum p (s - m) over up to thousands of keys"),
    ("distance", "float32"): Tolerance(1e-6, 1e-4, "i - sum p j subtracts positions of up to the sequence's length"),
    ("drift", "float32"): Tolerance(1e-5, 1e-4, "slopes of positions that are exact to 1e-4, over two rows or more"),
    ("baseline", "float32"): Tolerance(0, 1e-6, "counts divided in float64, stored as float32"),
    ("mass", "bfloat16"): Tolerance(0, 3e-2, "against eager patterns, whose scores have 8 bits of mantissa"),
    ("entropy", "bfloat16"): Tolerance(2e-2, 5e-2, "against eager patterns, whose scores have 8 bits of mantissa"),
    ("distance", "bfloat16"): Tolerance(5e-2, 5e-1, "against eager patterns, whose scores have 8 bits of mantissa"),
    ("mass", "float16"): Tolerance(0, 4e-3, "against eager patterns, whose scores have 11 bits of mantissa"),
    ("entropy", "float16"): Tolerance(3e-3, 6e-3, "against eager patterns, whose scores have 11 bits of mantissa"),
    ("distance", "float16"): Tolerance(1e-2, 1e-1, "against eager patterns, whose scores have 11 bits of mantissa"),
    ("logits", "float32"): Tolerance(1e-4, 1e-4, "another order of float32 sums in every layer"),
    ("logits", "bfloat16"): Tolerance(5e-2, 5e-2, "8 bits of mantissa in every activation between layers"),
    ("attribution sum", "float32"): Tolerance(1e-5, 1e-5, "sums of the residual stream, relative to the parts' sizes"),
    ("attribution sum", "bfloat16"): Tolerance(2e-2, 2e-2, "every sum of the residual stream keeps 8 bits of mantissa"),
    ("attribution sum", "float16"): Tolerance(3e-3, 3e-3, "every sum of the residual stream keeps 11 bits of mantissa"),
    ("logits", "float16"): Tolerance(1e-2, 1e-2, "11 bits of mantissa in every activation between layers"),
}


def tolerance(quantity: str, dtype: str = "float32") -> Tolerance:
    """Return the tolerance of a quantity for a model's dtype."""
    return TOLERANCES[quantity, tolerated(dtype)]


def tolerated(dtype: str) -> str:
    """Return the dtype of the table that a model's counts as; 8-bit floats compute in half precision."""
    return {"float64": "float32", "float32": "float32", "float16": "float16"}.get(dtype, "bfloat16")
