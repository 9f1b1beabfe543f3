"""Who says a label in languages that mark speakers apart from the verb: Turkish, Hindi, Japanese, Korean, Chinese."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import phrases, words_of
from engine.inputs.answers.unstated.reporting import FIRST_PERSON

NOT_PASSIVE = "(?!され|まれ|られ|된|됩|돼|되)"
NO_OWNER = "(?![的の의])"
_CLAUSE = re.compile(r"[,，、;；]")
_TITLED = {
    "ja": re.compile(
        r"[^\s、。は]{1,12}(?:さん|氏|様|くん|君|社長|会長|部長|課長|係長|店長|専務|常務|教授|博士|先生|大臣|長官|CEO|CFO|COO|担当者|責任者|幹部|役員|記者|"
        r"関係者|(?<![成延])長|者|家|員|人|士|師|官|陣|側|筋)(?:は|が|も|、)"
    ),
    "ko": re.compile(
        r"[^\s,.]{1,8}\s?(?:씨|님|양|군|부장|차장|과장|팀장|대리|사장|회장|대표|이사|전무|상무|위원|위원장|교수|박사|장관|기자|연구원|관계자|담당자|책임자|국장|실장|본부장|"
        r"의원|대변인|(?<![성공확])장|자|가들|인)(?:은|는|이|가|께서|도|들은|들이)(?=\s)"
    ),
}
"""Somebody as a topic or subject, by a title or by the ending of nouns of persons, whoever it is."""
_SAYS_SO = re.compile(
    r"(?:\A|[，,、：:；;“”\"])\s*(?P<who>[^，。！？；：,:;\s]{1,8}?)(?:也|都|还|则|曾|已|最近|今天|昨天|近日)?"
    r"(?:认为|認為|表示|声称|聲稱|宣称|宣稱|指出|相信|坚称|透露|强调|断言|觉得|覺得|坚信|直言|主张|主張|说(?!明|法|来)|說(?!明|法|來)|称(?![为之])|稱(?!為))"
)
"""Chinese: a subject of a few signs before a verb of saying or thinking."""
_BY_WORD_OF = re.compile(
    r"(?:据|據|根据|根據|依照|依据|按照|照)(?P<who>[^，。！？；：,\s]{1,14}?)(?:称|稱|说|說|介绍|透露|所说|所述|所言|表示|的说法|的說法|的看法|的观点|的预测|的判断|"
    r"的意见|的预期|的估计|报道|報道)|(?:在|依|照)?(?P<view>[^，。！？；：,\s在]{1,10})看来"
)
_RUMOURED = {
    "ja": re.compile(r"[^。、\n]{0,8}?と(?:言わ|いわ|噂さ|伝えら|報じら)れて(?:い|お)"),
    "ko": re.compile(r"[^.,\n]{0,10}?[다라](?:고\s*(?:합니다|한다|해요|전해|알려)|는\s+(?:말|소문|얘기|이야기|소식))"),
}
"""Behind a label: it is said by others ("増加すると言われています"), nobody knows who."""
_NOBODY = re.compile(
    r"理由|可以|可(?!可)|能|应该|可能|因此|所以|综上|由此|据此|不|被|来|总的|总体|总之|一般|具体|换句话|简单|这|那|此|该|其|它|有(?!些?人)|增长|下降|利润|收益|营收|收入|成本|现金|资产|负债|"
    r"变化|信号|迹象|因素|普遍被|综合|整体|每股|意味|长期|目前|现在|如此|也就是"
)
"""Chinese: what is no subject of somebody who speaks."""
_ACTIVE = re.compile(
    r"(?:(?:कर|जता|लगा|रख|बता)\s+(?:रह\w*|\w*)|करत\w*|जतात\w*|जताई|लगात\w*|लगाय\w*|रखत\w*)(?!\s*(?:जा\s|जाता|जाती|जा\sरह))"
)
"""Hindi: light verbs of what somebody does ("आशंका जता रहा है"), not of what is done ("लगाया जा रहा है")."""
_IN_IT = re.compile(r"[dt][ae]n?\Z")
"""Turkish: where somebody says something ("raporunda"), which is no subject."""
_MARKED = re.compile(r"[^\s,।]+\s+(?:ने|को)(?=\s)")


def said_at_end(before: str, behind: str, codes: tuple[str, ...]) -> bool:
    """Return whether somebody else says a label.

    Parameters
    ----------
    before, behind
        Its sentence on either side of it, up to where another one may speak.
    codes
        Languages whose words count.
    """
    return any(
        (
            "tr" in codes and _in_turkish(before, behind),
            "hi" in codes and _in_hindi(before, behind),
            "zh" in codes and _in_chinese(before),
            any(_RUMOURED[code].match(behind) for code in ("ja", "ko") if code in codes),
            any(_with_title(before, behind, code) for code in ("ja", "ko") if code in codes),
            _by_people(before, behind, codes),
        )
    )


def _by_people(before: str, behind: str, codes: tuple[str, ...]) -> bool:
    """Whether people stand before a label, and a verb of theirs before it or behind."""
    known = tuple(code for code in ("ja", "ko", "tr", "hi") if code in codes)
    if not known:
        return False
    people, verbs = _people(known), reporting_verbs(known)
    named = [found.end() for found in people.finditer(before)]
    return bool(named) and bool(verbs.search(before[named[-1] :] + behind)) and not FIRST_PERSON.search(behind)


def _in_turkish(before: str, behind: str) -> bool:
    """Whether the next verb of saying or thinking behind a label is in the third person, of somebody."""
    governing = re.split(r"[,;]|(?<![^\W_])(?:ve|çünkü)(?![^\W_])", behind)[0]
    said = _thinks("tr").search(governing)
    if said is None or FIRST_PERSON.search(governing, 0, said.start()):
        return False
    is_own = any(not _IN_IT.search(found.group()) for found in own_sources(("tr",)).finditer(before))
    return not (is_own or FIRST_PERSON.search(before))


def _in_hindi(before: str, behind: str) -> bool:
    """Whether a marked subject, or the verb's own active form, makes a verb of saying or thinking somebody's."""
    clause = _CLAUSE.split(before)[-1] if "कि" not in before else before
    if FIRST_PERSON.search(before) or own_sources(("hi",)).search(before) or FIRST_PERSON.search(behind):
        return False
    if _reporting().search(before):
        return True
    said = _thinks("hi").search(re.split(r"[,;]", behind)[0])
    if said is None:
        return False
    is_active = _ACTIVE.search(behind, said.end()) and re.search(r"[^\W_]", clause)
    return bool(_MARKED.search(f"{clause} ") or is_active)


def _in_chinese(before: str) -> bool:
    for found in (*_BY_WORD_OF.finditer(before), *_SAYS_SO.finditer(before)):
        groups = found.groupdict()
        who = groups.get("who") or groups.get("view") or ""
        if not (own_sources(("zh",)).search(who) or _NOBODY.search(who)) and not FIRST_PERSON.search(
            before, found.start()
        ):
            return True
    return False


def _with_title(before: str, behind: str, code: str) -> bool:
    """Whether somebody with a title is the topic, and says or thinks something."""
    named = list(_TITLED[code].finditer(before))
    if not named or FIRST_PERSON.search(before) or own_sources((code,)).search(named[-1].group()):
        return False
    return bool(_thinks(code).search(before[named[-1].end() :] + behind))


@cache
def _reporting() -> re.Pattern[str]:
    """Return a pattern of a Hindi subject, its verb of saying or thinking, and the word that begins what is said."""
    verbs = phrases(words_of(("hi",), "thinks"))
    return re.compile(
        rf"[^\s,।]+\s+(?:ने|को|का|की|के)\s+(?:[^\s,।]+\s+){{0,3}}?{verbs}[^।]{{0,25}}?\sकि(?=\s)|"
        r"[^\s,।]+\s+ने\s+[^।]{0,30}?\sकि(?=\s)|[^\s,।]+\s+(?:सोचत|मानत|कहत|बतात|चाहत|समझत)\S*\s+(?:है|हैं|था|थे|थी)?\s*कि(?=\s)"
    )


@cache
def _people(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(phrases(words_of(codes, "people")) + NO_OWNER, re.IGNORECASE)


@cache
def reporting_verbs(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of verbs of saying, thinking or expecting that are not passive."""
    verbs = phrases([*words_of(codes, "expects"), *words_of(codes, "reports"), *words_of(codes, "thinks")])
    return re.compile(verbs + NOT_PASSIVE, re.IGNORECASE)


@cache
def _thinks(code: str) -> re.Pattern[str]:
    words = (
        words_of((code,), "thinks") if code != "tr" else [*words_of((code,), "thinks"), *words_of((code,), "reports")]
    )
    return re.compile(phrases(words) + NOT_PASSIVE, re.IGNORECASE)


@cache
def own_sources(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of what an answer itself goes by: data, a model, an analysis."""
    return re.compile(phrases(words_of(codes, "own_sources")), re.IGNORECASE)
