"""The words that labels are read by in each language, from the data files beside this module, and patterns of them."""

from __future__ import annotations

import re
import tomllib
import unicodedata
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
NOT_AFTER_TITLE = (
    r"(?<!\bM)(?<!\bMM)(?<!\bMrs)(?<!\b[MDSHF]r)(?<!\bMs)(?<!\bS[rt]a)(?<!\bSt)(?<!\bDra)(?<!\bProf)(?<!\bSig)"
    r"(?<!\bDott)"
)
"""Before a dot that ends a sentence, not a title ("Mr. Brown", "M. Dupont")."""
JOINED = re.compile(f"[{UNSPACED}{HANGUL}]")
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""Full-width forms of Latin letters, digits and signs, to be read as their ordinary ones."""

_ELSEWHERE = """
niet geen nooit zonder evenmin inte ingen inget inga aldrig knappast ikke ikkje intet aldri ekki
engin ei eivät eikä  tuskin ilman  nie nigdy brak żaden żadnego żadnej bez ne není nebude nejsou
žádný žádné nije neće nema не ні немає няма никакого  nem nincs sincs nu niciun nicio fără nėra nav
không chẳng chưa δεν μην μη όχι ούτε לא אין בלי ไม่ نه نمی* هیچ نہیں tiada takkan hindi wala না নেই
இல்லை లేదు  nein nicht kein non nada niente nulla нет
"""
ELSEWHERE = tuple(_ELSEWHERE.split())
"""Denials of languages without data, or with cues alone (Dutch, Nordic, Baltic, Slavic, Hungarian, Romanian,
Vietnamese, Greek, Hebrew, Thai, Persian, Urdu, Malay, Tagalog, Bengali, Tamil, Telugu), and those that deny alone in
languages that we know: looked for, on either side, where no language can be told."""


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
    reversals
        What turns round what was said before ("*I expect the opposite*").
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
    owners
        Whose answer it is where it is somebody else's ("*your* answer", "the *student's* answer").
    both
        What stands before two labels that are given at once ("*both* A and B").
    ends
        What is said of a movement that ends ("the increase *ends*").
    undecided
        Verdicts that decide nothing ("*mixed*, leaning negative").
    figures, neighbours
        Figures that have a sign ("*EBITDA* turned positive"), and those that move beside earnings (revenue, sales).
    irrealis
        Verbs of what is only supposed ("A *would* be right if …").
    affirms, refuses, not_asked
        What a question is answered by, and words of a question that asks for less than what will be ("*could* it?").
    people, expects, reports, according, own_sources
        Who else speaks, verbs by which they do, verbs that only somebody else says a label by, and "according to";
        behind that, what an answer itself goes by (the data, my analysis). English has patterns instead.
    thinks
        Verbs of saying or thinking in the third person, of which only somebody can be the subject.
    scores, out_of, rating_units
        Cues where the labels are a scale ("*Score*: 3"), what stands before its highest number ("4 *out of* 5"), and
        what a rating counts ("4 *stars*").
    conditions, conceded_conditions, own_conditions
        What begins a condition ("*if* costs fall"), what grants one ("*even if*"), and what begins one that leaves
        nothing open: it asks of the writer alone ("if *I had* to choose", "if *we look* at the data"), or that things
        go on as they do ("if *current trends continue*", "barring *unforeseen* events").
    absences, own_absences
        What says that a thing is lacking ("*without* a recovery in demand"), which is a condition, and things that an
        answer goes by, leaves out, or does not doubt ("without further *data*", "without *doubt*"): these are none.
    speakers, titles, headings
        Offices and titles by which a transcript names who speaks ("*CEO*:", "*Mr.* Brown:"), and words by which two
        capitalised words are a heading or a company, and no name ("Final *Verdict*:").
    is_partial
        Whether cues and plain denials are all that is known of the language; every other kind may be missing.
    """

    code: str
    name: str
    is_partial: bool
    scripts: tuple[str, ...]
    function_words: tuple[str, ...]
    nouns: tuple[str, ...]
    said_nouns: tuple[str, ...]
    modifiers: tuple[str, ...]
    final: tuple[str, ...]
    corrections: tuple[str, ...]
    reversals: tuple[str, ...]
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
    owners: tuple[str, ...]
    both: tuple[str, ...]
    ends: tuple[str, ...]
    undecided: tuple[str, ...]
    figures: tuple[str, ...]
    neighbours: tuple[str, ...]
    irrealis: tuple[str, ...]
    affirms: tuple[str, ...]
    refuses: tuple[str, ...]
    not_asked: tuple[str, ...]
    people: tuple[str, ...]
    expects: tuple[str, ...]
    reports: tuple[str, ...]
    according: tuple[str, ...]
    own_sources: tuple[str, ...]
    thinks: tuple[str, ...]
    scores: tuple[str, ...]
    out_of: tuple[str, ...]
    rating_units: tuple[str, ...]
    conditions: tuple[str, ...]
    conceded_conditions: tuple[str, ...]
    own_conditions: tuple[str, ...]
    absences: tuple[str, ...]
    own_absences: tuple[str, ...]
    speakers: tuple[str, ...]
    titles: tuple[str, ...]
    headings: tuple[str, ...]


@cache
def languages() -> dict[str, Language]:
    """Return every language that has a data file, by its code."""
    folder = files("engine.inputs.answers") / "language_data"
    found: dict[str, Language] = {}
    kinds = [field.name for field in fields(Language) if field.name not in ("code", "name", "is_partial")]
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            content = tomllib.loads(file.read_text("utf-8"))
            code = file.name.removesuffix(".toml")
            is_partial = bool(content.get("is_partial"))
            words = {kind: tuple(content.get(kind, ()) if is_partial else content[kind]) for kind in kinds}
            found[code] = Language(code=code, name=content["name"], is_partial=is_partial, **words)
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


def _is_letter(sign: str) -> bool:
    return bool(re.match(LETTER, sign))
