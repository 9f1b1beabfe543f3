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

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analyses.setting_checks import SettingsError

CONTRASTS = ("slope", "layers", "difference", "versus")
DIRECTIONS = ("greater", "less", "two-sided")
SCALES = ("log_odds", "lift", "value")
KEYS = (
    "name",
    "key_group",
    "statistic",
    "query_group",
    "layers",
    "contrast",
    "versus",
    "group",
    "direction",
    "scale",
)


@dataclass(frozen=True)
class Hypothesis:
    """One question about one number per sample.

    Attributes
    ----------
    name
        Its name in the tables.
    key_group, statistic
        What is measured: attention to a key group, or a column of ``head_stats``. Exactly one of them is given.
        ``vocabulary`` is the run's union of vocabulary categories (``financial``).
    query_group
        Whose attention it is.
    layers
        First and last layer, both included; None is no bound, and a negative number counts from the last layer (-1).
    contrast
        One of ``CONTRASTS``.
    versus
        The other key group.
    group
        An entry as in ``analysis.groups``: group a minus group b.
    direction
        One of ``DIRECTIONS``.
    scale
        ``log_odds`` (logit of the attention minus logit of what uniform attention would give), ``lift`` (their ratio)
        or ``value`` (the attention itself).
    text
        What the users wrote.
    problem
        Why it is not understood; empty otherwise.
    """

    name: str
    key_group: str | None = None
    statistic: str | None = None
    query_group: str = "decision"
    layers: tuple[int | None, int | None] = (None, None)
    contrast: str = "slope"
    versus: str | None = None
    group: str | Mapping[str, Any] | None = None
    direction: str = "greater"
    scale: str = "log_odds"
    text: str = ""
    problem: str = ""


NAMED: dict[str, Hypothesis] = {
    entry.name: entry
    for entry in (
        Hypothesis(
            "later_layers_more_vocabulary",
            key_group="vocabulary",
            contrast="slope",
            text="later layers show more financial attention",
        ),
        Hypothesis(
            "vocabulary_and_accuracy",
            key_group="vocabulary",
            contrast="difference",
            group="is_correct",
            text="attention to financial terms correlates with accuracy",
        ),
        Hypothesis(
            "recent_more_than_prior",
            key_group="current_period",
            contrast="versus",
            versus="prior_period",
            text="recent periods get more attention than prior periods",
        ),
        Hypothesis(
            "large_more_than_small_numbers",
            key_group="magnitude_large",
            contrast="versus",
            versus="magnitude_small",
            text="larger numbers get more attention than small numbers",
        ),
        Hypothesis(
            "statement_less_when_wrong",
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
    read: list[Hypothesis] = []
    for slot, entry in enumerate(entries):
        path = f"analysis.hypotheses[{slot}]"
        if isinstance(entry, str):
            found = read_text(entry)
        elif isinstance(entry, Mapping):
            found = _read_mapping(entry, path)
        else:
            raise SettingsError(f"{path}: {entry!r} is neither text nor a mapping {{{', '.join(KEYS)}}}")
        if any(found.name == other.name for other in read):
            raise SettingsError(f"{path}: there is another hypothesis called {found.name!r}; give one another name")
        read.append(found)
    return read


def read_text(text: str) -> Hypothesis:
    """Return the named hypothesis, or the one that a known phrase means, or one with a ``problem``."""
    if text in NAMED:
        return NAMED[text]
    plain = " ".join(text.lower().replace("’", "'").rstrip(" .!?").split())
    for name, _, pattern in PHRASES:
        match = re.fullmatch(pattern, plain)
        if match is not None:
            return replace(_from_phrase(name, match.groupdict()), name=text.strip(), text=text.strip())
    known = "; ".join([*NAMED, *(f'"{phrase}"' for _, phrase, _ in PHRASES)])
    return Hypothesis(text.strip(), text=text.strip(), problem=f"not understood. Known are: {known}")


def _from_phrase(name: str, found: Mapping[str, str | None]) -> Hypothesis:
    is_less = found.get("more") in ("less", "weaker", "lower")
    thing = found.get("thing") or found.get("thing2")
    if name == "layers_from":
        first = int(found["first"] or 0)
        return Hypothesis(name, key_group=_key_group(thing or ""), contrast="layers", layers=(first, None))
    meant = NAMED[name]
    if thing:
        meant = replace(meant, key_group=_key_group(thing))
    # "Less in wrong ones" is "more in right ones", and "earlier layers show more" is a falling slope.
    is_turned = found.get("where") in ("earlier", "lower") or found.get("which") in ("wrong", "incorrect")
    return replace(meant, direction="less" if is_less != is_turned else "greater")


def _key_group(thing: str) -> str:
    words = thing.strip().removeprefix("the ")
    return SYNONYMS.get(words, re.sub(r"[\s-]+", "_", words))


def _read_mapping(entry: Mapping[str, Any], path: str) -> Hypothesis:
    for key in entry:
        if key not in KEYS:
            raise SettingsError(
                f"{path}: {key!r} is an unknown key{_nearest(str(key), KEYS)}; known are {', '.join(KEYS)}"
            )
    given = {key: value for key, value in entry.items() if value is not None}
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        raise SettingsError(f"{path}.name: {name!r} is not allowed; every hypothesis needs a name")
    for key, allowed in (("contrast", CONTRASTS), ("direction", DIRECTIONS), ("scale", SCALES)):
        if key in given and given[key] not in allowed:
            nearest = _nearest(str(given[key]), allowed)
            raise SettingsError(f"{path}.{key}: {given[key]!r} is unknown{nearest}; known are {', '.join(allowed)}")
    for key in ("key_group", "statistic", "query_group", "versus"):
        if not isinstance(given.get(key, ""), str):
            raise SettingsError(f"{path}.{key}: {given[key]!r} is not a name")
    if not isinstance(given.get("group", ""), str | Mapping):
        raise SettingsError(f"{path}.group: {given['group']!r} is neither a column nor a mapping as in analysis.groups")
    if ("key_group" in given) == ("statistic" in given):
        raise SettingsError(f"{path}: give either key_group or statistic, the thing that is measured")
    default = "difference" if "group" in given else "versus" if "versus" in given else "slope"
    contrast = given.setdefault("contrast", default)
    needed = {"difference": "group", "versus": "versus", "layers": "layers"}.get(contrast)
    if needed and needed not in given:
        raise SettingsError(f"{path}: contrast {contrast!r} needs {needed!r}")
    if "versus" in given and "statistic" in given:
        raise SettingsError(
            f"{path}.versus: a key group can only be compared with a key group; give key_group, not statistic"
        )
    if "layers" in given:
        given["layers"] = _layers(given["layers"], f"{path}.layers")
    if "statistic" in given:
        given["scale"] = "value"
    return Hypothesis(**{"text": name, **given})


def _layers(value: object, path: str) -> tuple[int | None, int | None]:
    bounds = list(value) if isinstance(value, list | tuple) else []
    whole = [bound for bound in bounds if bound is None or (isinstance(bound, int) and not isinstance(bound, bool))]
    if len(bounds) != 2 or len(whole) != 2:
        raise SettingsError(f"{path}: {value!r} is not allowed; allowed: [first, last] with null for no bound")
    return whole[0], whole[1]


def _nearest(value: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(value, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
