"""Hypotheses as they can be written in a config: named ones, phrases of the users' old configs, and the general form.

A hypothesis is one number per sample, made of the heads' average per layer, and a question about that number:

* ``contrast: slope``: its slope over the layers of ``layers``, per layer ("later layers show more …");
* ``contrast: layers``: its mean over ``layers`` minus its mean over the other layers ("layers 20 and up");
* ``contrast: difference``: its mean over ``layers``, in one group of samples minus in the other (needs ``group``);
* ``contrast: versus``: its mean over ``layers``, against another key group (needs ``versus``).

With ``group``, any of them is compared between two groups of samples; with ``versus``, any of them is of the key group
minus the other one. ``direction`` says what is expected of it: ``greater`` or ``less`` than 0, or ``two-sided``.

Known phrases are read strictly, whole sentence by whole sentence: one that is not understood is reported as such and
never guessed, because a verdict on another question than the one asked is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, field_validator, model_validator

from analyses.settings.columns import Entry, Group, Settings, refuse_twins

_NEEDS = {"difference": "group", "versus": "versus", "layers": "layers"}
"""What a contrast cannot do without."""


class _Question(Entry):
    """What is measured, and what is asked of it."""

    name: str
    """Its name in the tables."""
    key_group: str | None = None
    """Attention to this key group is measured; ``vocabulary`` is the run's union of vocabulary categories."""
    statistic: str | None = None
    """Or this column of ``head_stats``."""
    query_group: str = "decision"
    """Whose attention it is."""
    layers: tuple[int | None, int | None] = (None, None)
    """First and last layer, both included; None is no bound, and a negative number counts from the last layer (-1)."""
    contrast: Literal["slope", "layers", "difference", "versus"] = "slope"
    """What the number per sample is; without it ``difference`` with a group, ``versus`` with another key group."""
    versus: str | None = None
    """The other key group."""
    group: str | Group | None = None
    """An entry as in ``analysis.groups``: group a minus group b."""
    direction: Literal["greater", "less", "two-sided"] = "greater"
    """What is expected of the effect."""
    scale: Literal["log_odds", "lift", "value"] = "log_odds"
    """``log_odds`` (logit of the attention minus logit of what uniform attention would give), ``lift`` (their ratio) or
    ``value`` (the attention itself)."""


class HypothesisEntry(_Question):
    """A mapping in ``analysis.hypotheses``: one question about one number per sample."""

    @field_validator("layers", mode="before")
    @classmethod
    def _layers_are_two(cls, value: object) -> object:
        bounds = list(value) if isinstance(value, list | tuple) else []
        whole = [bound for bound in bounds if bound is None or (isinstance(bound, int) and not isinstance(bound, bool))]
        if len(bounds) != 2 or len(whole) != 2:
            raise ValueError(f"{value!r} is not allowed; allowed: [first, last] with null for no bound")
        return value

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if not self.name.strip():
            raise ValueError(f"the name is {self.name!r}; every hypothesis needs a name")
        if (self.key_group is None) == (self.statistic is None):
            raise ValueError("give either key_group or statistic, the thing that is measured")
        needed = _NEEDS.get(self.meant_contrast)
        if needed is not None and needed not in self.model_fields_set:
            raise ValueError(f"contrast {self.meant_contrast!r} needs {needed!r}")
        if self.versus is not None and self.statistic is not None:
            raise ValueError(
                "versus is a key group, which can only be compared with a key group; give key_group, not statistic"
            )
        return self

    @property
    def meant_contrast(self) -> Literal["slope", "layers", "difference", "versus"]:
        """The contrast that is given, or else the one that the other keys mean."""
        if "contrast" in self.model_fields_set:
            return self.contrast
        return "difference" if self.group is not None else "versus" if self.versus is not None else "slope"


class Hypothesis(_Question):
    """A question as it was read."""

    text: str = ""
    """What the users wrote."""
    problem: str = ""
    """Why it is not understood; empty otherwise."""


NAMED: dict[str, Hypothesis] = {
    entry.name: entry
    for entry in (
        Hypothesis(
            name="later_layers_more_vocabulary",
            key_group="vocabulary",
            contrast="slope",
            text="later layers show more financial attention",
        ),
        Hypothesis(
            name="vocabulary_and_accuracy",
            key_group="vocabulary",
            contrast="difference",
            group="is_correct",
            text="attention to financial terms correlates with accuracy",
        ),
        Hypothesis(
            name="recent_more_than_prior",
            key_group="current_period",
            contrast="versus",
            versus="prior_period",
            text="recent periods get more attention than prior periods",
        ),
        Hypothesis(
            name="large_more_than_small_numbers",
            key_group="magnitude_large",
            contrast="versus",
            versus="magnitude_small",
            text="larger numbers get more attention than small numbers",
        ),
        Hypothesis(
            name="statement_less_when_wrong",
            key_group="statement",
            contrast="difference",
            group="is_correct",
            scale="value",
            text="the decision row looks at the statement less in wrong predictions",
        ),
    )
}
"""What is asked unless the config says otherwise."""

_TERMS = r"(?:\s+(?:terms?|words?|tokens?|vocabulary|data|items?))?"
_MORE = r"(?P<more>more|stronger|higher|greater|increased|less|weaker|lower)"
_THING = r"(?P<thing>[a-z][a-z _-]*?)"
_TIMES = r"(?:\s+(?:financial\s+)?(?:periods?|data|numbers|figures|years?))?"
_RECENT = rf"(?:recent|current|latest){_TIMES}"
_PRIOR = rf"(?:the\s+)?(?:prior|previous|past|historical|older|earlier){_TIMES}"
_NUMBERS = r"(?:numbers|values|amounts|figures)"
_SHOW = r"(?:has|have|(?:show|exhibit|pay|get|receive|attract)s?)"

PHRASES: tuple[tuple[str, str, str], ...] = (
    (
        "later_layers_more_vocabulary",
        "later layers show more <key group> attention",
        rf"(?P<where>later|deeper|higher|upper|final|earlier|lower)\s+layers\s+{_SHOW}\s+{_MORE}\s+"
        rf"(?:attention\s+to\s+{_THING}{_TERMS}|{_THING.replace('thing', 'thing2')}\s+attention)",
    ),
    (
        "layers_from",
        "layers 20+ specialize in <key group>",
        rf"layers?\s+(?P<first>\d+)\s*(?:\+|and\s+(?:up|above|later))\s*(?:heads\s+)?(?:specialize|specialise|focus)\s+(?:in|on)\s+"
        rf"{_THING}{_TERMS}(?:\s+reasoning)?",
    ),
    (
        "vocabulary_and_accuracy",
        "attention to <key group> terms correlates with accuracy",
        rf"(?:attention\s+to\s+{_THING}{_TERMS}|{_THING.replace('thing', 'thing2')}\s+attention)\s+"
        r"(?:positively\s+)?(?:correlates?|is\s+(?:positively\s+)?(?:correlated|associated))\s+with\s+"
        r"(?:prediction\s+|predictive\s+)?(?:accuracy|correctness|correct\s+predictions|success)",
    ),
    (
        "recent_more_than_prior",
        "recent periods get more attention than prior periods",
        rf"(?:attention\s+to\s+)?{_RECENT}\s+(?:{_SHOW}\s+|is\s+(?:weighted\s+)?)?{_MORE}\s+(?:attention\s+)?than\s+"
        rf"(?:to\s+)?{_PRIOR}",
    ),
    (
        "large_more_than_small_numbers",
        "larger numbers get more attention than small numbers",
        rf"(?:attention\s+to\s+)?(?:larger?|big|bigger)\s+{_NUMBERS}\s+(?:{_SHOW}\s+|){_MORE}\s+(?:attention\s+)?than\s+"
        rf"(?:to\s+)?small(?:er)?(?:\s+(?:ones|{_NUMBERS}))?",
    ),
    (
        "statement_less_when_wrong",
        "the decision row looks at the statement less in wrong predictions",
        r"(?:the\s+)?decision\s+(?:row|token)?\s*(?:looks|attends)\s+(?:at|to)\s+the\s+statements?\s+(?P<more>less|more)\s+"
        r"(?:in|for)\s+(?P<which>wrong|incorrect|right|correct)\s+(?:predictions|answers)",
    ),
)
"""Name, the phrase as it is told to the reader, and the pattern that a whole sentence must match."""

SYNONYMS = {
    "finance": "vocabulary",
    "financial": "vocabulary",
    "temporal": "time",
    "numeric": "number",
    "numerical": "number",
    "numbers": "number",
    "percent": "percentage",
    "percentages": "percentage",
    "years": "year",
    "line items": "line_item",
}


def _name_of(entry: str | HypothesisEntry) -> str:
    return (entry if entry in NAMED else entry.strip()) if isinstance(entry, str) else entry.name


def _are_distinct(entries: tuple[str | HypothesisEntry, ...] | None) -> tuple[str | HypothesisEntry, ...] | None:
    refuse_twins(map(_name_of, entries or ()), "hypothesis")
    return entries


Hypotheses = Annotated[tuple[str | HypothesisEntry, ...] | None, AfterValidator(_are_distinct)]
"""The value of ``analysis.hypotheses``."""


class _Entries(Settings):
    path: ClassVar[str] = "analysis"
    hypotheses: Hypotheses


def read_hypotheses(entries: Sequence[object] | None) -> list[Hypothesis]:
    """Return what the entries of ``analysis.hypotheses`` mean; None is every named hypothesis.

    Raises
    ------
    SettingsError
        For a mapping with an unknown key or an impossible value, and for two hypotheses of one name. Text is never
        refused: what is not understood comes back with a ``problem``.
    """
    if entries is None:
        return list(NAMED.values())
    known = _Entries.from_mapping({"hypotheses": list(entries)}).hypotheses or ()
    return [read_text(entry) if isinstance(entry, str) else _read_entry(entry) for entry in known]


def _read_entry(entry: HypothesisEntry) -> Hypothesis:
    scale = entry.scale if entry.statistic is None else "value"
    changed = {"contrast": entry.meant_contrast, "scale": scale, "text": entry.name}
    return Hypothesis.model_validate({**dict(entry), **changed})


def read_text(text: str) -> Hypothesis:
    """Return the named hypothesis, or the one that a known phrase means, or one with a ``problem``."""
    if text in NAMED:
        return NAMED[text]
    plain = " ".join(text.lower().replace("’", "'").rstrip(" .!?").split())
    for name, _, pattern in PHRASES:
        match = re.fullmatch(pattern, plain)
        if match is not None:
            meant = _from_phrase(name, match.groupdict())
            return meant.model_copy(update={"name": text.strip(), "text": text.strip()})
    known = "; ".join([*NAMED, *(f'"{phrase}"' for _, phrase, _ in PHRASES)])
    return Hypothesis(name=text.strip(), text=text.strip(), problem=f"not understood. Known are: {known}")


def _from_phrase(name: str, parts: Mapping[str, str | None]) -> Hypothesis:
    is_less = parts.get("more") in ("less", "weaker", "lower")
    thing = parts.get("thing") or parts.get("thing2")
    if name == "layers_from":
        first = int(parts["first"] or 0)
        return Hypothesis(name=name, key_group=_key_group(thing or ""), contrast="layers", layers=(first, None))
    meant = NAMED[name]
    if thing:
        meant = meant.model_copy(update={"key_group": _key_group(thing)})
    # "Less in wrong ones" is "more in right ones", and "earlier layers show more" is a falling slope.
    is_turned = parts.get("where") in ("earlier", "lower") or parts.get("which") in ("wrong", "incorrect")
    return meant.model_copy(update={"direction": "less" if is_less != is_turned else "greater"})


def _key_group(thing: str) -> str:
    words = thing.strip().removeprefix("the ")
    return SYNONYMS.get(words, re.sub(r"[\s-]+", "_", words))
