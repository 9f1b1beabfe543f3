"""The phrases of which frames are made: who concludes, what is to come, what points to it, what is judged and how.

Patterns that end where the label begins are looked for in what stands before it, the others in what stands behind.
"""

from __future__ import annotations

import re

ADVERBS = (
    r"(?:\w+ly\s+|(?:go|move|trend|head|come|edge|turn)\s+|now\s+|then\s+|also\s+|again\s+|still\s+|indeed\s+|even\s+|soon\s+|"
    r"well\s+|further\s+|not\s+only\s+)"
)
CHECKED = re.compile(r"\[[xX✓✔]\]|\([xX✓]\)|[☑☒✅✓✔👍➡→]\uFE0F?")
"""Signs that choose what stands behind them."""
CHOSEN = re.compile(rf"(?:{CHECKED.pattern})[\s*_`]*\Z")
"""One of them right before the label."""
SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|end_of_turn|end_of_text)>")
"""Tokens that end a turn, which say nothing."""
REACH = 300
"""Characters on either side of a label in which its frame is looked for."""
DRESS = r"[*_`\"'“‘«(\[$\\]*"
BETWEEN = r"(?:[^\s.;!?]+\s+)"
CONCLUDES = (
    r"(?:predict|forecast|expect|anticipat|foresee|project|conclu|believ|think|say|answer|choos|pick|select|go|going|opt|"
    r"lean|vot|call|classif|label|rat|rank|mark|judg|consider|see|seeing|land|settl|guess|bet|assess|estimat|find|deem|"
    r"view|infer|suspect|prefer|recommend|assign|giv|regard|categori[sz]|categori|upgrad|downgrad|revis|chang|switch|"
    r"maintain|reiterat|stick|stay|assum|tag|identif|interpret|read|treat|put|arriv|end\s+up|submit|vouch|propos|determin)"
    r"(?:y|ies|ied|e|es|ed|ing|t|ting|ded|ude|uded|uding|s)?"
)
WRITER = re.compile(
    rf"\b(?:I|we|let\s+me|let['’]s)(?:['’](?:m|d|ll|ve|re))?\s+{BETWEEN}{{0,6}}?{CONCLUDES}\b(?P<rest>[^.;!?\n]*)\Z",
    re.IGNORECASE,
)
CHANGED_TO = re.compile(
    r"(?:\b(?:my|our|the|\A[\W_]*)\s*(?:final\s+)?(?:answer|prediction|forecast|verdict|rating|choice|call|assessment|label|conclusion|"
    r"recommendation)\s+(?:(?:has|have|is|was|now|therefore|thus)\s+){0,2}(?:chang|mov|shift|switch|revis|updat|correct|flip)\w*|"
    r"\A[\W_]*(?:chang|switch|revis|updat|correct|upgrad|downgrad)\w*(?:\s+(?:my|the|to))?(?:\s+(?:answer|prediction|forecast|rating|label))?)"
    rf"\s+from\s+[^.;!?\n]{{1,60}}?\s+to\s+(?:an?\s+)?{DRESS}\Z",
    re.IGNORECASE,
)
"""An answer that is changed, up to what it is changed to ("my answer changed from B to …")."""
IMPERATIVE = re.compile(
    rf"\A[\W_]*(?:{BETWEEN}{{0,8}}?,\s*)?(?:expect|look\s+for|go\s+with|predicting|expecting|forecasting|anticipat\w+|"
    rf"predict|leaning|going\s+with|choosing|picking|voting)\b[^.;!?\n]*\Z",
    re.IGNORECASE,
)
TO_COME = re.compile(
    rf"(?:\b(?:will|shall|should|must|may|might|likely|going\s+to|gonna|has\s+to|have\s+to)|['’]ll|"
    rf"\b(?:{CONCLUDES}|likely|set|bound|poised|due|sure|certain|slated|destined|positioned|headed|on\s+(?:track|course)|"
    r"tends?|seems?|appears?|allows?\s+\w+(?:\s+\w+){0,2}|continues?|remains?\s+likely|cause[sd]?\s+\w+(?:\s+\w+){0,2})\s+to|"
    r"\bthan\s+to|\b(?:that|than)\s+(?:it|eps|earnings)\s+will)\s+"
    rf"{ADVERBS}{{0,3}}{DRESS}\Z",
    re.IGNORECASE,
)
WOULD = re.compile(rf"\bwould\s+(?:most\s+)?(?:likely|probably|presumably|then|therefore)\s+{DRESS}\Z", re.IGNORECASE)
POINTS = re.compile(
    r"\b(?:suggest|indicat|point|support|impl|signal|lead|led|result|translat|mean|favou?r|show|confirm|bring|caus|driv|"
    r"justif|warrant|yield|produc|underpin|tip|tilt|head|contribut|augur|"
    r"consist|compatible|spell|herald|convey|express|reflect|display|demonstrat|reveal|belong|fall|carr|contain|trend|"
    r"correspond|amount|lean)\w*\s+(?:[^\s.;!?]+\s+){0,6}?"
    rf"{DRESS}\Z",
    re.IGNORECASE,
)
UNDERGOES = re.compile(
    r"\b(?:will|should|likely|to|may|must|can|company|firm|bank|group|corporation|eps|earnings|it|profits?|shareholders?|I|we|you)\s+"
    r"(?:\w+ly\s+)?(?:see|experience|post|report|record|enjoy|suffer|show)s?\s+(?:[^\s.;!?]+\s+){0,5}?"
    rf"{DRESS}\Z",
    re.IGNORECASE,
)
"""What moves, or the writer, and a verb of undergoing ("the company will likely see an increase")."""
BOUND_FOR = re.compile(
    r"\b(?:positioned|poised|set|headed|heading|bound|due|slated|primed|ready|in|looking|on\s+(?:track|course))\s+(?:for|at)\s+"
    rf"(?:[^\s.;,!?]+\s+){{0,3}}?{DRESS}\Z",
    re.IGNORECASE,
)
"""What is to come, as a noun ("poised for an increase", "looking at a modest decrease")."""
EXISTS = re.compile(
    r"\b(?:there\s+(?:will|should|is|may|might)\b|probability|chance|likelihood|odds|potential|prospects?|room)\b[^.;!?\n]{0,60}\Z",
    re.IGNORECASE,
)
IS = (
    r"(?:(?:is|are|be|it['’]s|that['’]s|this\s+is|seems?|appears?|looks?|sounds?|reads|remains?|was|=|feels?|"
    r"would\s+be|must\s+be|has\s+to\s+be|should\s+be|equals|deserves|merits|ends?\s+up(?:\s+being)?|comes?\s+(?:across|off)(?:\s+as)?|"
    r"turns?\s+out(?:\s+to\s+be)?)|(?:\w+)['’]s)"
)
PREDICATE = re.compile(
    rf"\b{IS}\s+(?:(?:as|about|of|in|under|that|to\s+be|an?\s+(?:case|instance|example)\s+of)\s+)?(?:(?:\w+ly|very|quite|rather|more|most|the|an?|option|choice|"
    r"letter|answer|correct|right|best|likely|therefore|thus|hence|then|so|overall|both|in|an?|clear|slight|moderate|strong|"
    rf"small|significant|modest|further|class|label|category|not\s+[^\s,;]+[,;]?\s+but)\s+){{0,5}}{DRESS}\Z",
    re.IGNORECASE,
)
I_AM = re.compile(
    rf"\b(?:I['’]m|I\s+am|we\s+are|we['’]re)\s+(?:\w+ly\s+|very\s+|quite\s+){{0,2}}{DRESS}\Z", re.IGNORECASE
)
CLASSED = re.compile(
    r"\b(?:is|are|be|been|can|should|I|we|it|best|therefore|hence)\s+(?:\w+\s+){0,3}(?:classif|label|rat|categori|mark|describ|"
    rf"regard|view|interpret|read|tagged|assess|seen|judged|considered)\w*\s+(?:[^\s.;!?,]+\s+){{0,4}}?{DRESS}\Z",
    re.IGNORECASE,
)
OVERALL = re.compile(
    r"[*_`\"'”’»)\]}$]*\s+(?:overall|on\s+balance|all\s+in\s+all|in\s+total)\s*[.!]?\s*\Z", re.IGNORECASE
)
"""Behind a label that a last clause says of the whole."""
COULD = re.compile(
    rf"\b(?:could|can)\s+(?:(?:\w+ly|also|well|even|still|just|either|go|move)\s+){{0,2}}(?:be\s+)?(?:(?:the|an?|option|choice|answer|letter)\s+){{0,2}}{DRESS}\Z",
    re.IGNORECASE,
)
"""What is only possible ("EPS could increase", "it could be B")."""
LED = re.compile(
    r"(?:\A|[\s,;:—–(-])(?:so|therefore|thus|hence|consequently|accordingly|as\s+a\s+result|overall|in\s+(?:conclusion|summary|"
    r"short|total)|all\s+in\s+all|ultimately|finally|altogether|on\s+balance|in\s+the\s+end|to\s+conclude|leaving|leaves|"
    r"which\s+makes|that\s+makes|this\s+makes|makes\s+it|hence\s+the)\b[^.;!?\n]{0,120}\Z",
    re.IGNORECASE,
)
VERBS_OF_PROOF = re.compile(
    r"\b(?:evidence|text|premise|passage|article|document|source|abstract|context|paper|study|claim|statement|sentence|report|"
    rf"this|it|data|hypothesis|I|we)\s+(?:\w+ly\s+)?{DRESS}\Z",
    re.IGNORECASE,
)
PROVES = frozenset(
    (
        "supports",
        "support",
        "refutes",
        "refute",
        "entails",
        "entail",
        "contradicts",
        "contradict",
        "agrees",
        "agree",
        "disagrees",
        "disagree",
        "favors",
        "favours",
        "confirms",
        "rejects",
        "implies",
    )
)
STOP = re.compile(r"[*_`\"'”’»)\]}$]*(?:\s*\Z|\s*[.,;:!?…)\]—–\n|]|\s+[-(])")
GOES_ON = re.compile(
    r"\s*/\s*\d{1,3}(?![\d/])|[*_`\"'”’»)\]}$]*\s+(?:because|since|as|due|for|given|here|rather|instead|and\s+not|not|than|over|with|in|based|thanks|"
    r"owing|overall|on\s+balance|out\s+of|stars?|points?|next|this|by|from|at|during|to|if\s+anything|compared|versus|answer|option|choice|label|"
    r"class|category|sentiment|review|tone|outlook|one|for\s+(?:the\s+|its\s+)?(?:share\w+|stock\w*|investors?|company|firm|market|sector|industry)|about|towards?|regarding|of\s+(?:the|its|a|eps)|it\s+is|is\s+my|is\s+the)\b",
    re.IGNORECASE,
)
AFFIRMED = (
    r"(?:likely|expected|probable|plausible|correct|right|best|true|answer|choice|option|supported|warranted|clear|evident|certain|"
    r"inevitable|coming|ahead|predicted|forecast|forecasted|projected|anticipated|driven|due|most|more|safest|my|mine|moderate|"
    r"follow|follows|materiali[sz]e|occur|happen|continue|in\s+store|in\s+sight|hard\s+to\s+(?:deny|avoid|dispute)|difficult\s+to\s+"
    r"(?:deny|avoid)|assured|guaranteed|on\s+the\s+(?:cards|way)|what|consistent|justified|reasonable|the\s+one|only|small|slight|"
    r"strong|large|modest|significant|substantial|small|called\s+for|indicated|foreseeable|preferred|favou?red)"
)
JUDGED_SO = re.compile(
    rf"[*_`\"'”’»)\]}}$]*(?:(?!\b(?:I|we|you|so|that|which|who)\b)[^.;!?\n]){{0,90}}?\s(?:is|are|seems?|appears?|looks?|remains?|will|should|must|may|can|has\s+to|have\s+to|"
    rf"strikes\s+me\s+as)\b[^.;!?\n]{{0,50}}?\b{AFFIRMED}\b",
    re.IGNORECASE,
)
NOUN_BETWEEN = re.compile(
    r"[*_`\"'”’»)\]}$]*(?:\s+(?:sentiment|label|review|class|answer|option|choice|category|rating|verdict|tone|outlook|relation|"
    r"one|stance|emotion|topic|intent)){0,2}\s+(?:is|are|seems?|appears?|looks?|remains?|must|should|has|will)\b",
    re.IGNORECASE,
)
LETTER_JUDGED = re.compile(
    r"[*_`\"'”’»)\]}$.]*(?:\s*\([^()\n]{0,80}\))?\s+(?:(?:is|seems?|appears?|looks?|remains?|must\s+be|has\s+to\s+be|should\s+be)\s+"
    rf"[^.;!?\n]{{0,40}}?\b(?:{AFFIRMED}|(?:better|stronger|superior)(?!\s+than\s+(?:nothing|expected|most|average|some|before|last|ever|usual|the\s+rest)\b))\b|it\s+is\b|wins\b|fits\b|matches\b|holds\b|works\b|follows\b|satisfies\b|"
    r"(?:best|correctly|accurately|alone|clearly)\b|describes\b|makes\s+(?:the\s+most\s+)?sense|answers\s+(?:the|this)|addresses\b|"
    r"(?:is|are)\s+what\b)",
    re.IGNORECASE,
)
ONLY = re.compile(rf"\b(?:only|just)\s+(?:option\s+|choice\s+|answer\s+)?{DRESS}\Z", re.IGNORECASE)
MAKES = re.compile(
    rf"\b(?:makes|leaves|leaving|making)\s+(?:us\s+|me\s+)?(?:with\s+)?(?:only\s+|just\s+)?(?:option\s+|choice\s+)?{DRESS}\Z",
    re.IGNORECASE,
)
LESSER = re.compile(
    rf"\b(?:(?:worse|weaker|poorer|inferior|less\s+\w+)\s+(?:than|to)|(?:not|n['’]t)\s+(?:\w+\s+)?(?:as|so)\s+\w+\s+as)\s+"
    rf"(?:(?:an?|the|option|choice|response|answer)\s+)?{DRESS}\Z|\bprefer\s+(?:an?\s+)?{DRESS}\Z",
    re.IGNORECASE,
)
SIGNS = " \t*_\"'`(>-"
YES_OR_NO = re.compile(r"yes|no|true|false", re.IGNORECASE)
CLAUSE = re.compile(r"[*_\"']*\s+(?:it|they|this|that|there|he|she|I|we|the|you|eps)\b", re.IGNORECASE)
"""Behind a yes that begins its sentence without a comma ("No it does not.")."""
BOLD = re.compile(r"[*_]{2}\s*\Z")
CASES = re.compile(r"[*_`\"'”’»)\]]*\s+(?:only\s+)?(?:if|when|unless|provided|where|otherwise)\b", re.IGNORECASE)
PACE = re.compile(
    r"\b(?:pace|rate|speed|extent|magnitude|size|momentum)\s+of\s+(?:the\s+|this\s+|its\s+)?(?:decline|decrease|increase|growth|"
    r"fall|loss\w*|rise|deterioration|change|improvement|erosion)\b",
    re.IGNORECASE,
)
"""What moves where a movement itself slows or gathers pace."""
KEYS = (
    "grade|final|overall|conclusion|one|verdict|correct|evaluation|status|assessment|summary|bottom line|net|mine|so|"
    "tl;dr|score|rating|my view|my take|take|opinion|stance|emotion|topic|intent|relation|tone|polarity|veracity|"
    "signal|position|eps|earnings|profit|me"
)
LABELS = (
    "positive negative neutral true false yes no buy sell hold entailment contradiction spam ham up down increase "
    "decrease correct incorrect right wrong supports refutes toxic agree disagree good bad high low bullish "
    "bearish a b c d e f g h"
)
ATTRIBUTED = re.compile(
    r"[*_`\"'”’»)\]}$]*\s+(?:sentiment|opinion|view|impression|tone|attitude|review|stance|feeling|emotion|rating|verdict|assessment|"
    r"experience|polarity|outlook)\b(?!\s+(?:of|from|by)\s+(?:others|critics|some|many|another))",
    re.IGNORECASE,
)
HAS = re.compile(
    rf"\b(?:has|have|holds?|gives?|express(?:es|ed)?|convey(?:s|ed)?|shows?|contains?|reflects?|leaves?|left)\s+(?:us\s+with\s+|with\s+)?"
    rf"(?:an?|the|its|his|her|their)?\s*(?:\w+ly\s+|very\s+|rather\s+|overall\s+)?{DRESS}\Z",
    re.IGNORECASE,
)
"""Who judges, has the mood ("the reviewer has a negative opinion")."""
REVIEWER = re.compile(
    r"[\W_]*(?:the|this)\s+(?:reviewer|author|writer|user|customer|speaker|critic|headline|post|tweet)\b", re.IGNORECASE
)
"""Whose opinion is asked for where moods are."""
MOODS = frozenset(("positive", "negative", "neutral"))
JUDGED_THINGS = re.compile(
    r"\b(?:reviews?|sentiments?|tone|texts?|statements?|comments?|tweets?|messages?|it|it['’]s|this|that|these|overall|"
    r"feedback(?!\s+loop)|opinions?|outlook|mood|impression|attitude|author|reviewer|writer|customer|user|speaker|headline|article|"
    r"sentence|passage|relation|relationship|pair|news|language|wording|words|response|answer|experience|verdict|label|class|polarity|feeling|view|post|"
    r"document|phrase|remark|report|rating|stance|assessment|conclusion|emotion|I|we|I['’]d|guidance|trend|direction|signal|"
    r"implication|impact|effect|so|therefore|thus|hence)\b",
    re.IGNORECASE,
)
"""What is judged where a sentiment is said of it."""
ENGLISH = re.compile(
    r"(?<![^\W_])(?:the|is|are|was|that|this|these|you|she|he|they|we|i|it|to|of|for|and|or|return|said|says|came|will|would|could|"
    r"not|with|from|have|has|my|your|our|their|about|print|please|by|be|been|if|when|which|who|what|only|very|next|year)(?![^\W_])",
    re.IGNORECASE,
)
PLACE = re.compile(r"[,;:—–]\s+|\s[-–—]\s|\b(?:but|yet|and|so)\s+|\A", re.IGNORECASE)
ONLY_NAMED = re.compile(r"\b(?:mention|read|ask|see\s+(?:appendix|section)|list)\w*\b", re.IGNORECASE)
DEGREES = (
    "hmm|ok|okay|well|yes|no|is|mostly|very|quite|rather|slightly|clearly|overall|maybe|perhaps|possibly|"
    "strongly|it's|to|small|significant|modest|final|in conclusion|in short|in summary|still|finally|"
    "likewise|more|some|sure|definitely|somewhat|highly|extremely|a bit|largely|mildly|otherwise|option|"
    "choice|absolutely|certainly|surely|undoubtedly|probably|indeed|of course|without a doubt"
)
"""Words of degree and hedges that may stand before a label that is all that is said."""
COMING = re.compile(
    r"[*_`\"']*(?:\s+(?:in|of)\s+(?:[\w'’-]+\s+){0,3}?[\w'’-]+)?\s*(?:(?:expected|likely|predicted|projected|forecast|anticipated|ahead)\b|"
    r"[.!]?\s*\Z)",
    re.IGNORECASE,
)
TRADES = frozenset(("buy", "sell", "hold", "buying", "selling", "holding"))
ADVISES = re.compile(
    rf"(?:\b(?:I|we)(?:\s+(?:would|will|should)|['’](?:d|ll))\s+{ADVERBS}{{0,2}}(?:be\s+)?"
    rf"|\b(?:I|we)\s+(?:would\s+|do\s+|{ADVERBS})*(?:recommend|suggest|advise|propose|advocate|favou?r|prefer)\s+"
    r"(?:(?:you|investors|shareholders|clients|that\s+(?:you|investors|shareholders))\s+)?(?:to\s+)?"
    r"|\b(?:my|our|the|final|overall)\s+(?:\w+\s+)?(?:recommendation|advice|suggestion|verdict|call|decision|answer)\s+"
    r"(?:is|remains|would\s+be)\s+to\s+"
    r"|\b(?:it\s+is|it['’]s|it\s+would\s+be|is|would\s+be|seems)\s+(?:\w+ly\s+)?(?:best|prudent|wise|wiser|better|advisable|sensible|"
    r"appropriate|reasonable|time|the\s+\w+\s+(?:move|choice|option|course))\s+(?:for\s+\w+\s+)?to\s+"
    r"|\b(?:investors|shareholders|you|one|holders)\s+should\s+(?:\w+ly\s+)?"
    rf"|\A[\W_]*(?:(?:so|therefore|thus|hence|overall|then)[,:]?\s+)?){DRESS}\Z",
    re.IGNORECASE,
)
"""Before a trade that the writer advises ("I would buy this stock", "it is best to hold")."""
OF_STOCK = re.compile(
    r"[*_`\"'”’»)\]}$]*(?:\s+(?:(?:the|this|these|those|your|my|our|its|their|any|more)\s+)?(?:\w+\s+)?"
    r"(?:stocks?|shares?|positions?|equity|security|securities))?"
    r"(?:\s*\Z|[*_`\"'”’»)\]}$]*\s*[.,;:!…—–\n]|\s+(?:because|since|as|due|given|here|now|rather|instead|for\s+now|at\s+(?:this|these|current)|"
    r"until|based|is|would|seems|looks|appears|remains|over|and\s+not)\b)",
    re.IGNORECASE,
)
"""Behind it: what is traded, and the end of the clause."""
