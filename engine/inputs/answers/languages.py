"""The words that labels are read by in each language, from the data files beside this module, and a text's language.

The language is told by the script, for Latin and Cyrillic by the share of words that are function words of a language.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that put no space between words (Thai, Lao, Burmese, Khmer, Kana, Han): a word may stand inside a run."""
HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
ARABIC = "\u0620-\u064a\u066e-\u06d3"
MARKS = "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
"""Signs that belong to a word though no letters: combining accents, vowel points, and all of the Indic blocks."""
LETTER = rf"(?-i:[^\W_]|[{MARKS}])"
NOT_AFTER_LETTER = rf"(?-i:(?<![^\W_{UNSPACED}{HANGUL}])(?<![{MARKS}]))"
NOT_BEFORE_LETTER = rf"(?-i:(?![^\W_{UNSPACED}{HANGUL}]|[{MARKS}]))"
"""Edges of a word; beside a script that joins words ("答えはB") there is one anyhow."""
NOT_AFTER_HANGUL = rf"(?-i:(?<![{HANGUL}])){NOT_AFTER_LETTER}"
JOINED = re.compile(f"[{UNSPACED}{HANGUL}]")
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""Full-width forms of Latin letters, digits and signs, to be read as their ordinary ones."""

_SCRIPTS = {
    "hangul": HANGUL,
    "kana": "\u3041-\u3096\u30a1-\u30fa",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "arabic": ARABIC,
    "devanagari": "\u0900-\u0963\u0966-\u097f",
    "cyrillic": "\u0400-\u052f",
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "hebrew": "\u05d0-\u05ea",
    "thai": "\u0e00-\u0e7f",
    "bengali": "\u0980-\u09ff",
    "tamil": "\u0b80-\u0bff",
    "telugu": "\u0c00-\u0c7f",
    "georgian": "\u10a0-\u10ff",
    "armenian": "\u0530-\u058f",
    "khmer": "\u1780-\u17ff",
    "burmese": "\u1000-\u109f",
    "lao": "\u0e80-\u0eff",
}
_LETTERS = {script: re.compile(f"[{signs}]") for script, signs in _SCRIPTS.items()}
_OTHER_ALPHABETS = {
    "arabic": "[\u067e\u0686\u0698\u06a9\u06af\u06cc\u06d2\u0679\u0688]",
    "cyrillic": "[іїєґўјљњћђџѓќѕқңғұһө]",
}
"""Letters of other languages in a script that we have one of: Persian, Urdu; Ukrainian, Serbian, Kazakh, …."""
_SAMPLED = 2_000
"""Characters from either end of an answer that its language is told by."""
_LEAST_SHARE = 0.15
"""Share of a text's words that must be function words of a language."""
_FEW_WORDS = 4
"""Up to so many words say nothing of a language, and hold no denial that we know, when none of them is known."""
UNDETERMINED = "undetermined"
SHORT = "too short to tell"


@dataclass(frozen=True, slots=True)
class Language:
    """The words of a language, by what they do; ``*`` stands for any letters.

    Attributes
    ----------
    nouns, said_nouns, modifiers, copulas, fillers
        Cues: what may stand before a colon ("Final answer:"), before ``is`` ("the answer is"), words around these, and
        words between a cue and its label.
    final, corrections
        What marks a cue as the last word, in the cue itself or shortly before it.
    concludes, connectors, conditional, supposing, sides, explains
        Sentences in prose: words that conclude, that lead to the conclusion within a sentence, that make a sentence
        conditional, that make a cue one, that begin a clause aside, and headings of an explanation.
    before, after, judged, unbelieved, not_denials, breaks, relatives
        Denials before and behind the label, verdicts right behind it, phrases that deny a whole clause, those that only
        look like a denial, and words behind which a denial no longer reaches.
    joins
        What may stand between several labels that are given at once ("yes, *but* no").
    verbs, doubted
        What joins a label and a doubt about it ("an increase *seems* rather *doubtful*").
    wrong, former
        What calls an answer wrong, or one that was given up since ("the *wrong* answer", "my *previous* answer").
    chances, high
        Nouns of probability ("the *chance* of an increase"), and what calls one high.
    tentative
        Words that conclude, but of any subject ("costs are *expected* to decrease").
    concessives, conceded
        What begins a clause at a sentence's beginning, or ends one, that is granted before the main one says more
        ("*while* sales decrease, …").
    contrasts, over, yields, than, choices
        "rather than" before a label; between two labels, what denies the second, the first, or turns the second
        around; and what joins labels that are merely offered.
    examples
        What calls an object or a value an example, an alternative or a case.
    adjuncts, adjuncts_behind, not_adjuncts
        What begins an adjunct before a label ("*with* an increase in costs") or ends one behind it ("増加*により*"),
        and phrases that only look like one ("go *with* increase").
    others, subjects
        What moves beside the thing that is asked for (costs, debt), and that thing (earnings, profit).
    rises, falls, levels
        Words of movement, by which a label is a synonym or the opposite of another word, and words of none.
    set_phrases
        Phrases with a label's spelling in them that say no label ("break it *down*").
    """

    code: str
    name: str
    scripts: tuple[str, ...]
    function_words: tuple[str, ...]
    nouns: tuple[str, ...]
    said_nouns: tuple[str, ...]
    modifiers: tuple[str, ...]
    final: tuple[str, ...]
    corrections: tuple[str, ...]
    copulas: tuple[str, ...]
    fillers: tuple[str, ...]
    concludes: tuple[str, ...]
    connectors: tuple[str, ...]
    conditional: tuple[str, ...]
    supposing: tuple[str, ...]
    sides: tuple[str, ...]
    explains: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    judged: tuple[str, ...]
    unbelieved: tuple[str, ...]
    not_denials: tuple[str, ...]
    contrasts: tuple[str, ...]
    relatives: tuple[str, ...]
    yields: tuple[str, ...]
    over: tuple[str, ...]
    than: tuple[str, ...]
    breaks: tuple[str, ...]
    choices: tuple[str, ...]
    joins: tuple[str, ...]
    verbs: tuple[str, ...]
    doubted: tuple[str, ...]
    wrong: tuple[str, ...]
    former: tuple[str, ...]
    chances: tuple[str, ...]
    high: tuple[str, ...]
    tentative: tuple[str, ...]
    concessives: tuple[str, ...]
    conceded: tuple[str, ...]
    examples: tuple[str, ...]
    adjuncts: tuple[str, ...]
    adjuncts_behind: tuple[str, ...]
    not_adjuncts: tuple[str, ...]
    others: tuple[str, ...]
    subjects: tuple[str, ...]
    rises: tuple[str, ...]
    falls: tuple[str, ...]
    levels: tuple[str, ...]
    set_phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """The language that most of a text is in, by name, and the codes of those whose words are looked for in it."""

    name: str
    codes: tuple[str, ...]


@cache
def languages() -> dict[str, Language]:
    """Return every language that has a data file, by its code."""
    folder = files("engine.inputs.answers") / "language_data"
    found: dict[str, Language] = {}
    kinds = [field.name for field in fields(Language) if field.name not in ("code", "name")]
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            content = tomllib.loads(file.read_text("utf-8"))
            code = file.name.removesuffix(".toml")
            words = {kind: tuple(content[kind]) for kind in kinds}
            found[code] = Language(code=code, name=content["name"], **words)
    return found


def words_of(codes: Iterable[str], kind: str) -> list[str]:
    """Return the words of one kind in some languages, each once."""
    return list(dict.fromkeys(word for code in codes for word in getattr(languages()[code], kind)))


def phrase(text: str) -> str:
    """Return a pattern of a word or phrase as whole words; in joined scripts there are no edges to ask for."""
    left, first, rest, right = _parts(text)
    return left + first + rest + right


def phrases(words: Iterable[str]) -> str:
    """Return a pattern of any of some phrases, the longest first; one that matches nothing when there are none.

    Phrases are grouped by their edges and by their first letter, so that most places of a text are passed at once.
    """
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        left, first, rest, right = _parts(word)
        groups.setdefault((left, right), {}).setdefault(first, []).append(rest)
    parts: list[str] = []
    for (left, right), by_first in groups.items():
        is_sign = all(len(first) <= 2 for first in by_first)
        ahead = f"(?=[{''.join(by_first)}])" if is_sign else ""
        branches = "|".join(f"{first}(?:{'|'.join(rests)})" for first, rests in by_first.items())
        parts.append(f"{left}{ahead}(?:{branches}){right}")
    return f"(?:{'|'.join(parts)})" if parts else "(?!)"


def _parts(text: str) -> tuple[str, str, str, str]:
    """Return the left edge of a phrase, its first sign, the rest, and its right edge, as patterns."""
    signs = [_sign(sign) for sign in unicodedata.normalize("NFC", text)]
    is_ending = text.startswith("n't")  # of doesn't, won't, …
    left = "" if is_ending or JOINED.match(text) or not _is_letter(text[0]) else NOT_AFTER_LETTER
    right = "" if JOINED.match(text[-1]) or not _is_letter(text[-1]) else NOT_BEFORE_LETTER
    return left, signs[0], "".join(signs[1:]), right


def _sign(sign: str) -> str:
    special = {"*": f"{LETTER}*", " ": r"\s+", "'": "['’]"}
    return special.get(sign) or re.escape(sign)


@cache
def pattern_of(codes: tuple[str, ...], kind: str) -> re.Pattern[str]:
    """Return a compiled pattern of the words of one kind in some languages."""
    return re.compile(phrases(words_of(codes, kind)), re.IGNORECASE)


def language_of(text: str) -> Heard:
    """Return the language of a text; a script without data by its name, ``undetermined`` below the share."""
    sample = text if len(text) <= 2 * _SAMPLED else f"{text[:_SAMPLED]} {text[-_SAMPLED:]}"
    scripts = ("latin", "kana", "han") if sample.isascii() else tuple(_LETTERS)
    counts = {script: len(_LETTERS[script].findall(sample)) for script in scripts}
    if counts["kana"] and counts["kana"] * 10 >= counts["han"]:
        counts["kana"], counts["han"] = counts["kana"] + counts["han"], 0
    counts = {script: count for script, count in counts.items() if count}
    if not counts:
        return Heard(SHORT, ("en",))
    # A sign of Han or Hangul says about as much as two letters.
    weights = {script: count * (2 if script in ("han", "hangul", "kana") else 1) for script, count in counts.items()}
    largest = max(weights, key=lambda script: weights[script])
    codes: list[str] = []
    name = UNDETERMINED
    for script in weights:
        heard, some = _in_script(script, sample)
        codes += some
        if script == largest:
            name = heard
    return Heard(name, tuple(sorted(dict.fromkeys(codes or ["en"]))))


def _in_script(script: str, text: str) -> tuple[str, list[str]]:
    """Return the language that a text's words in one script are in, and the codes that come into question."""
    known = [language for language in languages().values() if script in language.scripts]
    other = _OTHER_ALPHABETS.get(script)
    if other and re.search(other, text, re.IGNORECASE):
        return f"another language in {script.title()} script", []
    if not known:
        return f"{script.title()} script", []
    if not any(language.function_words for language in known) or script in ("arabic", "devanagari"):
        return known[0].name, [known[0].code]
    found = [word.casefold() for word in re.findall(rf"[{_SCRIPTS[script]}]+", text)]
    scores = {language.code: 0 for language in known}
    spoken = _spoken_in(tuple(scores))
    for word, count in Counter(found).items():
        for code in spoken.get(word, ()):
            scores[code] += count
    best = max(scores.values())
    leading = [language for language in known if scores[language.code] == best]
    if not best and script == "latin" and re.search("[ğşı]", text):
        return SHORT if len(found) <= _FEW_WORDS else UNDETERMINED, ["en", "tr"]
    if not best:
        return SHORT if len(found) <= _FEW_WORDS else UNDETERMINED, ["en"] if script == "latin" else [
            language.code for language in known
        ]
    if len(leading) == 1 and best >= _LEAST_SHARE * len(found):
        return leading[0].name, [leading[0].code]
    name = SHORT if len(found) <= _FEW_WORDS else UNDETERMINED
    return name, [code for code, score in scores.items() if score]


@cache
def _spoken_in(codes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the languages, of some, that each word speaks for."""
    words = {word for code in codes for word in _telling_words(code)}
    return {word: tuple(code for code in codes if word in _telling_words(code)) for word in words}


@cache
def _telling_words(code: str) -> frozenset[str]:
    """Return words that speak for a language: its function words, its denials and what it leads to answers with."""
    language = languages()[code]
    kinds = (
        language.function_words,
        language.before,
        language.after,
        language.nouns,
        language.connectors,
        language.yields,
        language.chances,
    )
    return frozenset(
        word.rstrip("*").casefold() for kind in kinds for text in kind for word in text.split() if word[0] != "*"
    ) | frozenset(word.casefold() for word in language.function_words)


def _is_letter(sign: str) -> bool:
    return bool(re.match(LETTER, sign))
