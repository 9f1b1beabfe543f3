"""What makes a spelling something else than a label: a number, a name, an article or a determiner around it."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import languages, words_of

_NUMBER_BEFORE = re.compile(
    r"(?:\b[Nn]o\.\s|\d[.,:/]|(?<![^\s\"'({\[>:=])[.,]|(?<![^\s(])[<>]=?\s?|[≥≤≈≠]\s?|"
    r"\d\s?(?:out of|of|/)\s?|\b(?:vs|v|versus)\.?\s|[$€£¥#§]\s?|(?<![^\W\d_])[-−–+±])\Z",
    re.IGNORECASE,
)
_NUMBER_AFTER = re.compile(
    r"[.,:/](?!(?<=\.)0+(?![\d.,]))\d|\s?(?:%|‰|°|[€$£¥]|or\s+(?:more|less|higher|lower|above|below)\b|percent\b|"
    r"million\b|billion\b|[-–]\d)|\s?/\s?\d|[ '’\u00a0\u202f]\d{3}(?!\d)|\}\{\d",
    re.IGNORECASE,
)
_OUT_OF = re.compile(r"\s?(?:/|out of\b|of)\s?(\d+)\b", re.IGNORECASE)
_IS_RATING = re.compile(
    rf"{_OUT_OF.pattern}\s*(?:stars?|points?)?[*_`\"'”’»\s]*"
    r"(?:[.!,;:)\]}|$](?!\d)|</|\Z|\n|[-–—](?!\d)|\((?!\d)|(?:because|since|as|due|for|given|overall|here|and)\b)",
    re.IGNORECASE,
)
_RANGE_BEFORE = re.compile(r"\d\s*(?:[-–—~]|to|or|bis|oder|ou|o|a|à|и|или|до)\s*\Z", re.IGNORECASE)
_SAID_NUMBER = re.compile(
    r"(?:^|[\n:=(\[{\"'“«*_`>|.!?;,—–]\s*|\[[ xX✓✗]\]\s*|(?:^|\n)[ \t]*[-+•·▪●➡→⇒✅☑✔👉]\uFE0F?[ \t]+|"
    r"\b(?:is|are|be|as|answer|answers?|predict\w*|choose|chose|choice|pick|select\w*|"
    r"label\w*|class\w*|but|sondern|"
    r"option|rat\w+|scor\w+|category|therefore|thus|hence|so|say|(?:label|mark|rate|call)\w* it|go(?:ing)? with|"
    r"(?:rating|score|answer|label|grade|prediction)\s+(?:\w+\s+)?from\s+[\"'“*]*\d+[\"'”*]*\s+to|assign\w*|give(?:\s+an?)?|(?:giv\w+|rat\w+|scor\w+|award\w*)\s+(?:it|this|that|the)(?:\s+\w+)??(?:\s+(?:an?|as|with))?|output|ist|lautet|est|"
    r"es|è|é|ответ|это|adalah)\s+[\"'“*_`(\[$\\]*)\Z",
    re.IGNORECASE,
)
_ENDS_NUMBER = re.compile(
    r"(?:\.0+(?![\d.,]))?[*_`\"'”»)\]}$]*"
    r"(?:</|\s*\Z|\s*\n|[ \t]*(?:\||<\||\[[a-z]|[\u2600-\u27bf\U0001f300-\U0001faff])|[.!?;:,。，）](?!\d)|"
    r"\s+(?:because|since|as|due|for|given|here|rather|instead|stars?|\(|[-–—]))"
)
_GLUED_BEFORE = re.compile(r"(?:[^\W_][&'’.+@-]|[&@#.°])\Z")
_GLUED_AFTER = re.compile(r"[&+#@]|['’](?![dt][ıiuü]r\b)[^\W\d_]|[-.][^\W_]|\.[^\W_]\.")
_NOUNS_WITH_LETTERS = frozenset(
    [
        "series",
        "vitamin",
        "class",
        "grade",
        "type",
        "plan",
        "phase",
        "tier",
        "schedule",
        "hepatitis",
        "appendix",
        "exhibit",
        "section",
        "part",
        "figure",
        "table",
        "route",
        "group",
        "stage",
        "form",
        "round",
        "company",
        "firm",
        "stock",
        "stocks",
        "share",
        "shares",
        "level",
        "point",
        "team",
        "block",
        "building",
        "gate",
        "hall",
        "formula",
        "product",
        "segment",
        "division",
        "subsidiary",
        "brand",
        "region",
        "country",
        "state",
        "city",
        "customer",
        "supplier",
        "model",
        "version",
        "note",
        "item",
        "chapter",
        "page",
        "step",
        "slide",
        "week",
        "day",
        "question",
        "lesson",
        "line",
        "column",
        "row",
        "annex",
        "category",
        "unit",
        "site",
        "site,",
        "project",
        "fund",
        "bond",
        "bonds",
        "tranche",
    ]
)
_NOUNS_OF_CHOICE = frozenset(
    [
        "option",
        "options",
        "choices",
        "answers",
        "choice",
        "answer",
        "letter",
        "alternative",
        "candidate",
        "response",
        "statement",
        "label",
        "selection",
        "pick",
        "choose",
        "select",
        "predict",
        "therefore",
        "thus",
        "hence",
        "so",
        "answer:",
        "final",
        "is",
    ]
)
_LEADING_KINDS = (
    "function_words", "said_nouns", "nouns", "copulas", "fillers", "concludes", "connectors", "before", "after",
    "contrasts", "over", "than", "choices", "joins", "verbs", "corrections", "breaks", "sides", "judged", "supposing",
    "conditional", "wrong", "concessives", "yields", "relatives", "final",
)  # fmt: skip
"""Kinds of words that may stand right before a letter that is an answer; behind any other one it is part of a name."""
_LEADS = re.compile(
    r"[^\W\d_]+ly|[^\W\d_]+mente|[^\W\d_]+ment|(?:conclu|predict|forecast|expect|choos|chos|pick|select|assess|prefer|"
    r"favou?r|vot|mark|guess|elig|elij|escog|wähl|nehm|chois|optez?|scelg|escolh|выбира|bubbl|circl|support|only|mak|leav|say|said|"
    r"going|went|answer|eliminat|exclud|reject|rul|discard|consider|compar|unlike|eit|both|assistant|output|completion|"
    r"candidate|translation|summary|essay|statement|alternativ|leav|lett|between|among|neither|zwisch|sowohl|entweder|beid|entre|tra|tanto|fois|soit|ambos|entramb|между|оба|buchstabe|letra|lettre|lettera|вариант|opsi|pilihan|"
    r"seçenek|şık|विकल्प|الخيار|opci|opç|opzion|опци)[^\W\d_]*"
)
_CASED = re.compile("[a-zà-öø-ɏа-я]")
"""Of a word in a script with small letters."""
_UNIT_BEFORE = re.compile(r"\d[ \t]+\Z|\d[ \t]*°[ \t]*\Z|\b(?:Mr|Mrs|Ms|Dr|Prof|St)\.[ \t]+\Z")
_GRADED = re.compile(r"\b(?:got|gets?|getting|earn\w*|receiv\w*)\s+an?\s+[*_\"'“]*\Z", re.IGNORECASE)
"""Before a letter that is somebody's grade ("I got a B in physics")."""
_ARTICLES = frozenset("AEIOYaeioy")
_LETTER_VERBS = (
    r"beats|wins|to|through|plus|as well|along|together|versus|vs|"
    r"als|como|che|ni|noch|is|was|are|were|and|or|but|because|since|as|for|over|rather|instead|than|in|with|due|given|would|will|seems|looks|"
    r"appears|fits|holds|satisfies|meets|explains|mentions|contradicts|follows|describes|states|says|matches|best|correctly|has|does|doesn|isn|can|cannot|may|might|"
    r"must|should|on|if|when|here|only|too|out|not|est|ist|es|è|é|y|et|und|o|ou|oder|sein|wäre|sería|seria|serait"
)
_IS_ARTICLE = re.compile(rf"[ \t]+(?!(?:{_LETTER_VERBS})\b)(?:[\"'“‘]?[a-zà-öø-ÿ]|\([^()\n]{{0,40}}\)[ \t]+[a-z])")
_DENIES_NEXT = re.compile(
    r"[ \t]+(?!(?:y|et|und|e|ou|oder|pero|mais|ma|mas|aber|also|then|yes|sí|sì|sim|"
    r"otherwise|it|they|he|she|we|i|this|that|these|those|there|because|since|as|and|but|the|if|so|eps|earnings|due|"
    r"for|"
    r"given|or|is|was|would|will|porque|ya|pois|el|la|o|a|il|perché|parce|car|ist|weil|based|in|on|according|overall|"
    r"their|its|profits?|sales|revenues?|you|my|sorry|thanks)\b)[^\W\d_]",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"\.\s*(?:\d|of\b)|:\s*\d")
"""Behind ``No``: a number's abbreviation."""
_DENYING_LABELS = frozenset(("no", "non", "não", "not"))
_PARTS_OF_SPEECH = frozenset(("нет", "لا", "是", "si", "नहीं", "tidak"))
"""Yes and no that are other parts of speech in running text (there is no, is, if): only set off from it a label."""
_SET_OFF_BEFORE = re.compile(
    r"(?:\A|[\n.!?…,;:：，。！？；、،؛।—–\-()\[{\"'“‘«「『*_`>#=|/\\（]\s*|"
    r"(?:ответ\w*|это|думаю|скажу|скорее|что|видимо|наверное|هي|هو|是|为|為|选|選|选择|選擇|回答|respuesta|es|que|risposta|è|che|jawaban\w*|adalah|उत्तर)\s*)\Z",
    re.IGNORECASE,
)
_SET_OFF_AFTER = re.compile(
    r"的?[*_`\"'”’»」』)\]}]*(?:\s*\Z|\s*[.,!?;:…，。！？；：、،؛।\n)）]|\s+[-–—(]|因为|因為|"
    r"\s+(?:porque|perché|потому|так\s+как|это|karena|لأن|क्योंकि|है|हैं)(?!\w))",
    re.IGNORECASE,
)
_PARTICLES = frozenset(("ja", "sí", "sì", "ya"))
"""Yes as a particle inside a sentence ("die Firma ist ja groß")."""
_SENTENCE_BEGINS = re.compile(r"(?:\A|[\n.!?…,;:(—–-])[\s*_\"'“‘«¡]*\Z")
_IDENTIFIER = re.compile(r"[^\W_]_\Z")
_NUMBERED = re.compile(
    r"\b(?:answer|response|question|statement|sentence|example|option|item|part|claim)\s+\Z", re.IGNORECASE
)
_TRADED = re.compile(
    r"\s+(?:its|their|his|her|an?|new|goods|products|assets|units|cash|cars|inventory|property|businesses|companies|"
    r"subsidiar\w+|stakes?|out|off|back)\b",
    re.IGNORECASE,
)
_TRADES = frozenset(("buy", "sell", "hold"))
_SEASON = re.compile(r"\s+(?:of\s+)?(?:19|20)\d\d")
_VERBS_WITH_UP = re.compile(
    r"\b(?:ma[dk]es?|making|ends?|ended|ending|sums?|summed|summing|sets?|follows?)\s+\Z", re.IGNORECASE
)
_COMPOUND_AFTER = re.compile(r"[-‐‑][^\W\d_]")
_COMPOUND_BEFORE = re.compile(r"[^\W\d_][-‐‑]\Z")
_SHORT = 4
"""Letters of a spelling that is taken for a part of the compound before it (top-down, follow-up, yes-no)."""


def is_another_word(text: str, start: int, end: int, spelling: str, is_prose: bool) -> bool:
    """Whether the characters that spell a label are something else where they stand.

    Parameters
    ----------
    text
        The whole text.
    start, end
        Where it spells the label.
    spelling
        As it is configured.
    is_prose
        Whether the text is running text, not a value.
    """
    if spelling[:1].isdigit() or spelling[-1:].isdigit():
        return _is_in_number(text, start, end, spelling, is_prose)
    if is_prose and spelling.casefold() in _PARTS_OF_SPEECH:
        return not (_SET_OFF_BEFORE.search(text[max(0, start - 12) : start]) and _SET_OFF_AFTER.match(text, end))
    if is_prose and spelling.casefold() in _PARTICLES and not _SENTENCE_BEGINS.search(text[max(0, start - 12) : start]):
        return not _SET_OFF_AFTER.match(text, end)
    if len(spelling) == 1 and spelling.isalpha():
        return _is_no_choice(text, start, end, is_prose)
    if is_prose and (_COMPOUND_AFTER.match(text, end) or text[max(0, start - 4) : start].lower() == "-to-"):
        return True
    before = text[max(0, start - 2) : start]
    if len(spelling) <= _SHORT and _COMPOUND_BEFORE.search(before) and spelling.isascii():
        return True
    if spelling.casefold() in _DENYING_LABELS:
        return bool(_DENIES_NEXT.match(text, end) or _ORDINAL.match(text, end))
    if is_prose and spelling.casefold() in _TRADES and _TRADED.match(text, end):
        return True
    if spelling.casefold() == "fall" and _SEASON.match(text, end):
        return True
    if spelling.casefold() == "up" and _VERBS_WITH_UP.search(text[max(0, start - 12) : start]):
        return True
    return spelling.casefold() == "up" and bool(re.match(r"\s+to\s+[\d$€£]", text[end : end + 8]))


def _is_in_number(text: str, start: int, end: int, spelling: str, is_prose: bool) -> bool:
    """Whether a digit belongs to a larger number, an amount or a count; a rating out of the highest one does not."""
    before = text[max(0, start - 12) : start]
    if spelling[:1].isdigit() and (_NUMBER_BEFORE.search(before) or _IDENTIFIER.search(before)):
        return True
    if spelling[-1:].isdigit() and _NUMBER_AFTER.match(text, end):
        is_counted = is_prose and _is_counted(text[max(0, start - 40) : start])
        return is_counted or not _is_rating(text, start, end) or (is_prose and not _IS_RATING.match(text, end))
    if not is_prose:
        return False
    line = text[max(0, start - 40) : start]
    if _IS_RATING.match(text, end) and _is_rating(text, start, end):
        return bool(_RANGE_BEFORE.search(before) or _is_counted(line))
    if _NUMBERED.search(line) and re.match(r"\s*[:：]\s*\S", text[end : end + 8]):
        return True
    is_said = _SAID_NUMBER.search(line) or not line.strip()
    if re.fullmatch(r"(?:.*\n)?[ \t]*", line, re.DOTALL) and re.match(r"[.)][ \t]+\S", text[end : end + 20]):
        return True  # the number of an item in a list
    return not is_said or not _ENDS_NUMBER.match(text, end)


def _is_counted(line: str) -> bool:
    """Whether a number is one of things that are counted through ("Page 4/5")."""
    noun = re.search(r"([^\W\d_]+)[ \t]+\Z", line)
    return bool(noun) and noun.group(1).casefold() in _NOUNS_WITH_LETTERS


def _is_rating(text: str, start: int, end: int) -> bool:
    """Whether a number is one out of a highest one (4/5)."""
    highest = _OUT_OF.match(text, end)
    number = text[start:end]
    return bool(highest and number.isdecimal() and 1 < int(highest.group(1)) >= int(number))


def _is_no_choice(text: str, start: int, end: int, is_prose: bool) -> bool:
    """Whether a single letter is an article, a part of a name or an abbreviation."""
    before, after = text[max(0, start - 30) : start], text[end : end + 12]
    if _GLUED_BEFORE.search(before[-2:]) or _GLUED_AFTER.match(after):
        return True
    if is_prose and (before[-1:] == "/" or re.match(r"/[^\W_]", after)):
        return True
    if is_prose and re.search(r"\b[Tt]he[ \t]+\Z", before) and re.match(r"[ \t]+(?:in|of)\b", after):
        return True
    if text[start:end] in _ARTICLES and _IS_ARTICLE.match(text, end):
        return True
    if _UNIT_BEFORE.search(before) or (is_prose and _GRADED.search(before)):
        return True
    noun = re.search(r"([^\W\d_]+(?:['’][^\W\d_]+)?)([,;]?)[ \t]+[*_\"'“‘(\[]{0,3}\Z", before)
    if noun is None or noun.group(2) or before[-1:] in "([":
        return False
    word = re.sub(r"['’]s\Z", "", noun.group(1).casefold())
    if word in _NOUNS_WITH_LETTERS:
        return True
    if not _CASED.match(word):
        return False
    return word not in _NOUNS_OF_CHOICE and word not in _leading_words() and not _LEADS.fullmatch(word)


@cache
def _leading_words() -> frozenset[str]:
    """Return words that lead to a letter as an answer: function words, cues, denials, contrasts, of all languages."""
    words = [word for kind in _LEADING_KINDS for word in words_of(languages(), kind)]
    return frozenset(part.casefold() for word in words for part in word.replace("*", "").split())
