"""Lines that a transcript lets somebody speak, and headings and keys that only look like them."""

from __future__ import annotations

import pytest

from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, REASONS, read

SPOKEN = [
    "CEO: EPS will increase",
    "CEO: increase",
    "CEO (smiling): EPS will increase.",
    "The chairman: EPS will increase.",
    "Speaker 1: EPS will increase.",
    "Klaus Berger (CEO): EPS will increase.",
    "Mary Johnson, CFO: EPS will increase.",
    "CFO Klaus Berger: EPS will increase.",
    "Mr. Berger: EPS will increase.",
    'Management: "EPS will increase next year".',
    "Interviewer: Will EPS increase?\nCEO: Yes, EPS will increase.",
    "John Miller: I think EPS will increase.\nSarah Chen: No way, EPS will decrease.",
    "**Klaus Berger:** EPS will increase.\n**Jean-Luc Picard:** EPS will increase.",
    "Interviewer: Your view?\nKlaus Berger: EPS will increase.",
]
OWN = [
    "Prediction: increase",
    "Direction: increase",
    "Assistant: increase",
    "Earnings: increase",
    "Panel: increase",
    "Analyst summary: EPS will increase.",
    "Analyst Summary: EPS will increase.",
    "Executive Summary: EPS will increase.",
    "Final Verdict: EPS will increase.",
    "Key Takeaway: EPS will increase.",
    "**Bottom Line:** EPS will increase.",
    "My View: EPS will increase.",
    "Net Income: up. EPS will increase.",
    "Delta Foods: EPS will increase.",
    "Director of EPS change: increase",
    "CEO: EPS will decrease.\nMy prediction: increase",
    "Klaus Berger: EPS will decrease.\n\nTherefore I predict an increase.",
    "Berkshire Hathaway: EPS will increase.",
    "**Procter Gamble:** EPS will increase.",
]
ELSEWHERE = [
    (
        "steigen",
        ["Der Vorstand", "Frau Meier", "Moderatorin"],
        ["Fazit", "Klare Antwort"],
        "Gewinn wird",
    ),
    ("augmentera", ["PDG", "M. Dupont"], ["Conclusion", "Mon Avis"], "Le bénéfice"),
    ("aumentará", ["Director general"], ["Conclusión Final"], "El beneficio"),
    ("aumenterà", ["Amministratore delegato"], ["Conclusione"], "L'utile"),
    ("aumentará", ["Diretor financeiro"], ["Conclusão"], "O lucro"),
    ("вырастет", ["Генеральный директор"], ["Вывод", "Итоговый вывод"], "Прибыль"),
    ("增加", ["张先生", "董事长"], ["结论"], "盈利将"),
    ("増加", ["田中社長", "山田さん"], ["結論"], "利益は"),
    ("증가", ["김 대표", "기자"], ["결론"], "이익은"),
    ("artacak", ["Genel Müdür"], ["Sonuç"], "Kâr"),
    ("naik", ["Pak Budi", "Direktur Utama"], ["Kesimpulan"], "Laba akan"),
    ("سترتفع", ["المدير التنفيذي"], ["الخلاصة"], "الأرباح"),
    ("बढ़ेगी", ["प्रबंध निदेशक"], ["निष्कर्ष"], "आय"),
]


PERSONS = [
    ("steigen", "Klaus Berger: Der Gewinn wird steigen."),
    ("augmentera", "Jean Dupont: Le bénéfice augmentera."),
    ("aumentará", "Carlos Díaz: El beneficio aumentará."),
    ("aumenterà", "Mario Rossi: L'utile aumenterà."),
    ("aumentará", "João Silva: O lucro aumentará."),
    ("вырастет", "Иван Петров: Прибыль вырастет."),
    ("artacak", "Ahmet Yılmaz: Kâr artacak."),
]


@pytest.mark.parametrize("answer", SPOKEN)
def test_what_somebody_else_speaks_states_nothing(answer):
    assert read(DIRECTIONS, answer) in REASONS


@pytest.mark.parametrize("answer", OWN)
def test_a_heading_or_a_key_is_nobody(answer):
    assert read(DIRECTIONS, answer) == "increase"


@pytest.mark.parametrize(("word", "speakers", "headings", "said"), ELSEWHERE)
def test_speakers_of_other_languages(word, speakers, headings, said):
    gap = "" if word in ("增加", "増加") else " "
    for name in speakers:
        assert read((word, "Rückgang"), f"{name}: {said}{gap}{word}.") in REASONS, name
    for name in headings:
        assert read((word, "Rückgang"), f"{name}: {said}{gap}{word}.") == word, name


@pytest.mark.parametrize(("word", "line"), PERSONS)
def test_names_speak_where_several_do(word, line):
    """One name over all that is said may be that of a company."""
    assert read((word, "Rückgang"), line) == word
    assert read((word, "Rückgang"), f"{line}\nAnna Lopez: {line.partition(': ')[2]}") in REASONS
