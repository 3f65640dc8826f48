"""Words with which a server says that it does not serve a place, language by language.

A page is compared in lower case, its whitespace collapsed. Each pattern wants a place and a refusal of it in one
sentence, since either alone is on many pages.
"""

import re
from typing import Final

REFUSALS: Final = (
    re.compile(
        r"(?:not|n't|isn.t|un)[ -]?(?:currently )?(?:available|accessible|offered|supported|provided) (?:in|from|to) "
        r"(?:your|this) (?:country|region|location|area|territory|jurisdiction)"
        r"|(?:your|this) (?:country|region|location|territory) (?:is|has been) "
        r"(?:blocked|restricted|banned|not supported)"
        r"|(?:country|region|location) or (?:region|country|territory) in your ip address"
        r"|(?:from|in) a (?:prohibited|restricted|unsupported) (?:country|region|location)"
        r"|unavailable for legal reasons",
        re.ASCII,
    ),
    re.compile(r"(?:в вашей стране|в вашем регионе|на территории)[^.]{0,60}(?:недоступ|не доступ|не предоставля)"
               r"|(?:недоступ|не доступ|не предоставля)[^.]{0,60}(?:в вашей стране|в вашем регионе|на территории)"),
    re.compile(r"(?:غير (?:متاح|متوفر|متاحة|متوفرة)|محظور)[^.]{0,60}(?:بلدك|بلدكم|دولتك|منطقتك)"),
    re.compile(r"(?:آپ کے (?:ملک|علاقے|خطے))[^۔.]{0,60}(?:دستیاب نہیں|قابل رسائی نہیں|بلاک)"),
    re.compile(r"(?:کشور|منطقه) (?:شما|تان)[^.]{0,60}(?:در دسترس نیست|قابل دسترس نیست|ارائه نمی)"),
    re.compile(r"(?:ülkenizde|bölgenizde|bulunduğunuz (?:ülkede|bölgede))[^.]{0,60}"
               r"(?:kullanılamıyor|kullanılamamaktadır|mevcut değil|sunulmamaktadır|sunulmuyor)"),
    re.compile(r"no (?:est[áa]|se encuentra) disponible[^.]{0,40}(?:en )?"
               r"(?:tu|su|este) (?:pa[íi]s|regi[óo]n|territorio)"),
    re.compile(r"(?:n'est|ne sont|n'est actuellement) pas (?:disponibles?|accessibles?)[^.]{0,40}"
               r"dans (?:votre|ce) (?:pays|r[ée]gion|territoire)"),
    re.compile(r"in (?:ihrem|deinem|diesem) land[^.]{0,40}nicht (?:verf[üu]gbar|zug[äa]nglich|angeboten)"
               r"|nicht (?:verf[üu]gbar|zug[äa]nglich)[^.]{0,40}in (?:ihrem|deinem|diesem) land"),
)  # fmt: skip
