"""Names of the key groups and query groups that a config need not define, in the order of the tables' columns."""

from __future__ import annotations

PATTERN_GROUPS = ("number", "percentage", "year")
"""Key groups that a regular expression finds."""

PERIOD_GROUPS = ("current_period", "prior_period")

AMOUNT_GROUPS = ("magnitude_large", "magnitude_small")

STATEMENT_GROUPS = ("line_item", *PERIOD_GROUPS, *AMOUNT_GROUPS)
"""Key groups that are parts of a financial statement."""

POSITION_GROUPS = ("response", "reasoning", "beginning", "first_token")
"""Key groups that are defined by token position rather than by chat role."""

EVIDENCE = "evidence"
"""Key group of a record's gold passages, there where ``predictions.fields.evidence`` names a field."""

SEGMENT_GROUPS = ("system", "statement", "instruction", *POSITION_GROUPS)
"""Key groups that are parts of the conversation."""

DEFAULT_KEY_GROUPS = (*PATTERN_GROUPS, *STATEMENT_GROUPS, *SEGMENT_GROUPS)
"""Key groups of a config that names none, beside those of its vocabulary."""

BASELINE_GROUPS = ("duplicate", "induction")
"""Names that the baselines take, so that no key group can have them."""

QUERY_GROUPS_BUILT_IN = (
    "all",
    "decision",
    "response",
    "reasoning",
    "prompt",
    "thinking",
    "answer",
    "span",
    "answer_target",
)
"""Query groups that need no definition: every row, the decision row, the rows of all that the model wrote, of its
answer up to the label, of the prompt, of the thought, of the answer without the thought, and those that predict the
label's word or the free answer; where choices were scored one by one, the rows of the right one's continuation
(``answer_target``). A key group of one of the last five names counts in its place."""
