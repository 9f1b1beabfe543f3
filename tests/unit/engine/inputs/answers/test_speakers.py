"""Who speaks, in languages other than English: people nobody listed, sources, and the writer beside them."""

from __future__ import annotations

from functools import cache

import pytest

from engine.config import DecisionSection
from engine.inputs.answers.stated import AnswerReader

LABELS = {
    "German": {
        "rise": ["Anstieg", "steigen", "steigt", "steige"],
        "fall": ["Rückgang", "sinken", "sinkt", "sinke", "fallen"],
    },
    "French": {
        "rise": ["hausse", "augmentera", "augmenter", "augmentation"],
        "fall": ["baisse", "baissera", "diminuera", "baisser"],
    },
    "Spanish": {"rise": ["aumento", "aumentará", "subirá"], "fall": ["caída", "bajará", "disminuirá"]},
    "Italian": {"rise": ["aumento", "aumenterà", "crescerà"], "fall": ["calo", "diminuirà", "calerà"]},
    "Portuguese": {"rise": ["aumento", "aumentará", "subirá"], "fall": ["queda", "cairá", "diminuirá"]},
    "Russian": {"rise": ["рост", "вырастет", "увеличится"], "fall": ["снижение", "снизится", "упадет"]},
    "Chinese": {"rise": ["增加", "上升", "增长"], "fall": ["下降", "减少"]},
    "Japanese": {"rise": ["増加", "上昇"], "fall": ["減少", "低下"]},
    "Korean": {"rise": ["증가", "상승"], "fall": ["감소", "하락"]},
    "Turkish": {
        "rise": ["artış", "artacak", "yükselecek", "artacağını", "yükseleceğini", "artmasını", "artması"],
        "fall": ["düşüş", "düşecek", "azalacak", "düşeceğini", "azalacağını", "düşmesini", "azalmasını"],
    },
    "Indonesian": {"rise": ["naik", "meningkat", "kenaikan", "peningkatan"], "fall": ["turun", "menurun", "penurunan"]},
    "Arabic": {
        "rise": ["ارتفاع", "سيرتفع", "سترتفع", "زيادة", "ترتفع"],
        "fall": ["انخفاض", "سينخفض", "ستنخفض", "تراجع", "تنخفض"],
    },
    "Hindi": {"rise": ["वृद्धि", "बढ़ेगा", "बढ़ेगी", "बढ़ोतरी"], "fall": ["गिरावट", "घटेगा", "घटेगी", "कमी"]},
}
MATCH = {name: {"match": "inside"} for name in ("Chinese", "Japanese", "Korean")}
OTHERS = {
    "German": [
        "Laut Herrn Weber wird der Gewinn steigen.",
        "Laut Weber steigt der Gewinn je Aktie.",
        "Nach Ansicht von Frau Schmidt wird der Gewinn sinken.",
        "Frau Lange zufolge wird der Gewinn sinken.",
        "Herr Weber sagt, der Gewinn werde steigen.",
        "Anna Krause erklärte, dass der Gewinn steigen wird.",
        "Müller rechnet mit einem Anstieg.",
        "Der Filialleiter geht von einem Rückgang aus.",
        "„Der Gewinn wird steigen“, so Petra Vogel.",
        "Wie die Schatzmeisterin betont, wird der Gewinn steigen.",
    ],
    "French": [
        "Selon M. Dupont, le bénéfice augmentera.",
        "D'après Marie Leroy, le bénéfice baissera.",
        "Pour Jean Martin, le bénéfice par action augmentera.",
        "Mme Durand estime que le bénéfice augmentera.",
        "Jacques Morel a affirmé que le bénéfice baissera.",
        "Le bénéfice augmentera, selon Paul Girard.",
        "« Le bénéfice augmentera », assure Claire Petit.",
        "La trésorière prévoit une baisse.",
    ],
    "Spanish": [
        "Según la gerente, el beneficio aumentará.",
        "Según Juan Pérez, el beneficio bajará.",
        "De acuerdo con la señora Gómez, el beneficio aumentará.",
        "Pedro Ruiz dijo que el beneficio subirá.",
        "La tesorera cree que habrá una caída.",
        "El beneficio aumentará, afirmó Carlos Díaz.",
        "A juicio de López, el beneficio bajará.",
    ],
    "Italian": [
        "Secondo il signor Rossi, l'utile aumenterà.",
        "Secondo Bianchi l'utile diminuirà.",
        "Stando a Maria Verdi, l'utile aumenterà.",
        "Giulia Neri ha dichiarato che l'utile crescerà.",
        "Il tesoriere ritiene che l'utile diminuirà.",
        "L'utile crescerà, ha detto Paolo Conti.",
    ],
    "Portuguese": [
        "Segundo o Sr. Silva, o lucro aumentará.",
        "De acordo com Ana Costa, o lucro cairá.",
        "Conforme João Souza, o lucro subirá.",
        "Carla Mendes afirmou que o lucro aumentará.",
        "A tesoureira acredita que haverá queda.",
        "Para Pedro Lima, o lucro cairá.",
    ],
    "Russian": [
        "По словам Иванова, прибыль вырастет.",
        "По мнению Анны Петровой, прибыль снизится.",
        "Как сообщил Сергей Смирнов, прибыль вырастет.",
        "Бухгалтер считает, что прибыль снизится.",
        "Прибыль вырастет, заявил Кузнецов.",
        "Согласно Петрову, прибыль вырастет.",
    ],
    "Chinese": [
        "据王先生称，每股收益将上升。",
        "李女士认为每股收益将下降。",
        "张伟表示，利润会增加。",
        "根据陈经理的说法，利润将下降。",
        "在刘总看来，利润会增加。",
    ],
    "Japanese": [
        "田中氏によると、EPSは増加する。",
        "佐藤さんは、利益が減少すると述べた。",
        "山田部長は利益が増加すると考えている。",
        "鈴木によれば、EPSは上昇する。",
    ],
    "Korean": [
        "김 부장에 따르면 EPS는 증가할 것이다.",
        "이영희 씨는 EPS가 감소할 것이라고 말했다.",
        "박 팀장은 이익이 증가할 것으로 본다.",
    ],
    "Turkish": [
        "Analistler hisse başına kârın artacağını söylüyor.",
        "Genel müdür kârda artış olacağını düşünüyor.",
        "Şirketin CFO'su gelecek yıl düşüş beklediklerini ifade etti.",
        "Ayşe Yılmaz'a göre hisse başına kâr artacak.",
        "Şirket yönetimi bu yıl için artış öngörmektedir.",
        "Piyasa uzmanlarının çoğu düşüş tahmin etmektedir.",
        '"Kâr artacak" dedi genel müdür.',
        "Goldman Sachs raporunda kârın yükseleceğini savunuyor.",
        "Yatırımcılar bir artış umuyor.",
        "Şirketin açıklamasına göre kâr artacak.",
        "Bakan, ihracatın ve kârın artacağını vurguladı.",
        "Haberlere göre kârda düşüş bekleniyor.",
    ],
    "Indonesian": [
        "Para analis memperkirakan laba per saham akan naik.",
        "Manajemen yakin bahwa laba akan meningkat tahun depan.",
        "Menurut direktur utama, laba akan turun.",
        "Menurut Budi Santoso, laba per saham akan naik.",
        "CEO mengatakan bahwa laba akan meningkat.",
        "Perusahaan menargetkan kenaikan laba bersih.",
        "Sebagian besar investor mengharapkan penurunan.",
        '"Laba akan naik," ujar Direktur Keuangan.',
        "Bank Mandiri memproyeksikan kenaikan laba per saham.",
        "Ibu Sri menyebutkan bahwa laba akan turun.",
        "Dikutip dari Reuters, laba perusahaan akan naik.",
        "Laba akan meningkat, kata para analis.",
    ],
    "Arabic": [
        "يتوقع المحللون ارتفاع ربحية السهم.",
        "قالت الشركة إن الأرباح سترتفع في العام المقبل.",
        "وفقا للمدير التنفيذي، ستنخفض الأرباح.",
        "بحسب أحمد علي، سترتفع ربحية السهم.",
        "أكد المدير المالي أن الأرباح سترتفع.",
        "تأمل الإدارة في زيادة الأرباح.",
        "يعتقد معظم المستثمرين أن السهم سينخفض.",
        "«الأرباح سترتفع» قال رئيس الشركة.",
        "ذكرت رويترز أن أرباح الشركة ستنخفض.",
        "أعلن البنك عن توقعه بانخفاض الأرباح، وصرح المدير بأن السهم سينخفض.",
        "صرحت السيدة ليلى بأن الأرباح سترتفع.",
        "تستهدف الشركة زيادة في ربحية السهم.",
    ],
    "Hindi": [
        "विश्लेषकों का मानना है कि प्रति शेयर आय में वृद्धि होगी।",
        "कंपनी ने कहा कि लाभ बढ़ेगा।",
        "सीईओ के अनुसार, लाभ घटेगा।",
        "राजेश कुमार के अनुसार, प्रति शेयर आय बढ़ेगी।",
        "प्रबंधन को उम्मीद है कि लाभ में वृद्धि होगी।",
        "ज़्यादातर निवेशक गिरावट की उम्मीद कर रहे हैं।",
        '"लाभ बढ़ेगा," कंपनी के अध्यक्ष ने बताया।',
        "रॉयटर्स ने बताया कि कंपनी की आय घटेगी।",
        "श्रीमती शर्मा ने दावा किया कि आय में बढ़ोतरी होगी।",
        "कंपनी का लक्ष्य आय में वृद्धि करना है।",
        "विशेषज्ञों ने गिरावट का अनुमान लगाया है।",
        "बाज़ार गिरावट की आशंका जता रहा है।",
    ],
}
OWN = {
    "German": [
        ("Laut der Bilanz wird der Gewinn steigen.", "rise"),
        ("Laut Tabelle wird der Gewinn sinken.", "fall"),
        ("Meiner Ansicht nach wird der Gewinn steigen.", "rise"),
        ("Laut Herrn Weber wird der Gewinn steigen. Ich erwarte aber einen Rückgang.", "fall"),
        ("Nach meiner Einschätzung wird der Gewinn sinken.", "fall"),
        ("Den Zahlen zufolge wird der Gewinn sinken.", "fall"),
        ("Laut den vorliegenden Kennzahlen ist mit einem Rückgang zu rechnen.", "fall"),
    ],
    "French": [
        ("Selon le bilan, le bénéfice augmentera.", "rise"),
        ("Selon moi, le bénéfice baissera.", "fall"),
        ("D'après les chiffres, le bénéfice baissera.", "fall"),
        ("Selon mon analyse, le bénéfice augmentera.", "rise"),
        ("Selon M. Dupont, le bénéfice augmentera. Pour ma part, je prévois une baisse.", "fall"),
        ("Selon toute probabilité, le bénéfice augmentera.", "rise"),
        ("Selon le compte de résultat et le bilan, je prévois une hausse.", "rise"),
    ],
    "Spanish": [
        ("Según los datos, el beneficio aumentará.", "rise"),
        ("Según mi análisis, el beneficio bajará.", "fall"),
        ("Según el balance general, el beneficio aumentará.", "rise"),
        ("De acuerdo con los estados financieros, el beneficio disminuirá.", "fall"),
        ("Según la gerente, el beneficio aumentará. Sin embargo, yo preveo una caída.", "fall"),
        ("A mi juicio, el beneficio bajará.", "fall"),
    ],
    "Italian": [
        ("Secondo me l'utile aumenterà.", "rise"),
        ("Secondo i dati, l'utile diminuirà.", "fall"),
        ("Secondo il conto economico, l'utile aumenterà.", "rise"),
        ("Stando ai numeri, l'utile calerà.", "fall"),
    ],
    "Portuguese": [
        ("De acordo com os dados, o lucro aumentará.", "rise"),
        ("Segundo o balanço, o lucro cairá.", "fall"),
        ("Na minha opinião, o lucro aumentará.", "rise"),
        ("Segundo a minha análise, o lucro cairá.", "fall"),
    ],
    "Russian": [
        ("По моему мнению, прибыль снизится.", "fall"),
        ("Согласно данным отчётности, прибыль вырастет.", "rise"),
        ("По данным баланса, прибыль вырастет.", "rise"),
        ("Судя по показателям, прибыль снизится.", "fall"),
    ],
    "Chinese": [
        ("根据数据，每股收益将增加。", "rise"),
        ("根据财务报表，每股收益将下降。", "fall"),
        ("我认为每股收益将上升。", "rise"),
        ("在我看来，利润会下降。", "fall"),
    ],
    "Japanese": [
        ("データによると、EPSは増加する。", "rise"),
        ("財務諸表によれば、EPSは減少する。", "fall"),
        ("私の見解では、EPSは増加する。", "rise"),
    ],
    "Korean": [
        ("데이터에 따르면 EPS는 증가할 것이다.", "rise"),
        ("재무제표에 따르면 EPS는 감소할 것이다.", "fall"),
        ("제 생각에는 EPS는 증가할 것이다.", "rise"),
    ],
    "Turkish": [
        ("Analistler kârın artacağını söylüyor. Ancak ben düşüş bekliyorum.", "fall"),
        ("Yönetim artış bekliyor, fakat bence kâr düşecek.", "fall"),
        ("CEO'ya göre kâr düşecek; buna karşın sonuç olarak artış bekliyorum.", "rise"),
        ("Uzmanlar düşüş bekliyor. Cevap: artış", "rise"),
        ("Mehmet Bey kârın azalacağını belirtti. Yine de kanaatimce kâr artacak.", "rise"),
        ("Düşüş. Her ne kadar analistler artış beklese de maliyetler yükseliyor.", "fall"),
        ("Artış bekliyorum; yönetim ise düşüş öngörüyor.", "rise"),
        ("Kâr artacak, çünkü satışlar güçlü. Analistler ise düşüş bekliyor.", "rise"),
        ("Tahminim artış, analistler ise düşüş diyor.", "rise"),
        ("Verilere göre kârda artış bekleniyor.", "rise"),
        ("Finansal tablolara göre hisse başına kâr artacak.", "rise"),
    ],
    "Indonesian": [
        ("Analis memperkirakan laba akan naik. Namun, saya memperkirakan penurunan.", "fall"),
        ("Manajemen berharap laba naik, tetapi menurut saya laba akan turun.", "fall"),
        ("Meskipun para ahli memprediksi kenaikan, kesimpulan saya: turun.", "fall"),
        ("Menurut CEO laba akan turun. Jawaban: naik", "rise"),
        ("Perusahaan memperkirakan penurunan; meski begitu, saya menyimpulkan bahwa laba akan naik.", "rise"),
        (
            "Pasar memperkirakan kenaikan. Oleh karena itu, berdasarkan data, saya memprediksi laba akan menurun.",
            "fall",
        ),
        ("Turun. Walaupun analis memperkirakan kenaikan, biaya terus membengkak.", "fall"),
        ("Saya memperkirakan laba akan naik, sedangkan manajemen memperkirakan penurunan.", "rise"),
        ("Laba akan meningkat karena penjualan kuat. Para analis justru memperkirakan penurunan.", "rise"),
        ("Prediksi saya adalah naik, meskipun pasar mengharapkan penurunan.", "rise"),
        ("Menurut data keuangan, laba akan naik.", "rise"),
        ("Berdasarkan laporan keuangan, laba per saham diperkirakan akan meningkat.", "rise"),
        ("Menurut saya, laba akan turun.", "fall"),
    ],
    "Arabic": [
        ("يتوقع المحللون ارتفاع الأرباح. لكنني أتوقع انخفاض ربحية السهم.", "fall"),
        ("تقول الإدارة إن الأرباح سترتفع، لكن في رأيي ستنخفض الأرباح.", "fall"),
        ("وفقا للمدير التنفيذي ستنخفض الأرباح. الإجابة: ارتفاع", "rise"),
        ("تتوقع الشركة انخفاض الأرباح، ومع ذلك أستنتج أن الأرباح سترتفع.", "rise"),
        ("السوق يتوقع ارتفاع السهم. لذلك وبناء على البيانات أتوقع أن السهم سينخفض.", "fall"),
        ("انخفاض. رغم أن المحللين يتوقعون ارتفاع الأرباح فإن التكاليف تتزايد.", "fall"),
        ("أتوقع ارتفاع الأرباح، بينما تتوقع الإدارة انخفاضها.", "rise"),
        ("سترتفع الأرباح بسبب المبيعات القوية. أما المحللون فيتوقعون انخفاض الأرباح.", "rise"),
        ("توقعي هو زيادة، مع أن السوق يتوقع انخفاض.", "rise"),
        ("وفقا للبيانات المالية، من المتوقع ارتفاع ربحية السهم.", "rise"),
        ("بناء على القوائم المالية سترتفع ربحية السهم.", "rise"),
        ("في رأيي، ستنخفض الأرباح.", "fall"),
    ],
    "Hindi": [
        ("विश्लेषकों को वृद्धि की उम्मीद है। लेकिन मेरा अनुमान गिरावट का है।", "fall"),
        ("प्रबंधन कहता है कि आय बढ़ेगी, लेकिन मेरे विचार से आय घटेगी।", "fall"),
        ("हालांकि विशेषज्ञ वृद्धि की उम्मीद करते हैं, मेरा निष्कर्ष है: गिरावट", "fall"),
        ("सीईओ के अनुसार आय घटेगी। उत्तर: वृद्धि", "rise"),
        ("कंपनी गिरावट का अनुमान लगा रही है, फिर भी मैं निष्कर्ष निकालता हूँ कि आय में वृद्धि होगी।", "rise"),
        ("बाज़ार वृद्धि की उम्मीद करता है। इसलिए, आंकड़ों के आधार पर मेरा पूर्वानुमान है कि आय घटेगी।", "fall"),
        ("गिरावट। हालांकि विश्लेषक वृद्धि की उम्मीद करते हैं, लागत बढ़ रही है।", "fall"),
        ("मुझे वृद्धि की उम्मीद है, जबकि प्रबंधन गिरावट का अनुमान लगाता है।", "rise"),
        ("आय बढ़ेगी क्योंकि बिक्री मजबूत है। विश्लेषकों को गिरावट की उम्मीद है।", "rise"),
        ("मेरा पूर्वानुमान वृद्धि है, हालांकि बाज़ार को गिरावट की आशंका है।", "rise"),
        ("वित्तीय आंकड़ों के अनुसार, प्रति शेयर आय में वृद्धि होगी।", "rise"),
        ("आय विवरण के आधार पर प्रति शेयर आय बढ़ेगी।", "rise"),
        ("मेरे अनुसार, लाभ घटेगा।", "fall"),
    ],
}


@cache
def reader(language):
    decision = {"labels": LABELS[language], **MATCH.get(language, {})}
    return AnswerReader(DecisionSection.model_validate(decision))


def read(language, answer):
    """Return the label that an answer states, None where it states none."""
    stated = reader(language).stated(answer)
    found = stated.field or stated.text
    return found.word.label if found.word else None


@pytest.mark.parametrize(("language", "answers"), OTHERS.items(), ids=list(OTHERS))
def test_what_anybody_else_says_states_nothing(language, answers):
    assert [answer for answer in answers if read(language, answer)] == []


@pytest.mark.parametrize(("language", "answers"), OWN.items(), ids=list(OWN))
def test_what_the_writer_says_counts(language, answers):
    assert [answer for answer, stated in answers if read(language, answer) != stated] == []
