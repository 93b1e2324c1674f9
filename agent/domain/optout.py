"""Words by which people say that they want no more messages, read strictly towards silence.

Not the whole reading of a reply: only what must take effect in the transaction that stores it. A
wrong yes costs a person nothing but messages; a wrong no is what must never happen.
"""

import re
import unicodedata

from agent.domain.folding import fold
from agent.domain.inbound import phrased_opt_out

# Whole messages; one-letter codes are what Chinese carriers teach people to answer. Other languages too:
# people answer in their own, whatever ours was.
_WORDS = (
    *("stop", "stopall", "stop all", "unsubscribe", "end", "quit", "cancel", "revoke", "stopp"),
    *("optout", "opt out", "remove", "remove me", "stop it", "unreg", "ende", "стоп", "tc"),
    *("t", "td", "n", "r", "qx", "tdzd"),
    *("退订", "退", "停", "停止", "拒收", "取消", "取消订阅", "不要", "滚"),
    *("alto", "pare", "parar", "basta", "baja", "dar de baja", "cancelar", "detener", "no más", "sair"),
    *("arrêt", "arrêter", "arrêtez", "désabonner", "désinscrire", "abmelden"),
    *("berhenti", "hentikan", "batal", "tigil", "itigil", "hinto", "dừng", "từ chối", "หยุด", "ยกเลิก"),
    *("बंद", "रोको", "simama", "komesha", "sitisha", "daina", "tsaya", "توقف", "إلغاء"),
    *("配信停止", "수신거부", "중지"),
)  # fmt: skip
_COURTESY = re.compile(
    r"\b(?:please|pls|plz|now|thanks?|thank you|por favor|s'il vous plait)\b|^请|谢谢"
)
# Longer ones are sentences, and read as such.
_SHORT = 60
_PHRASES = re.compile(
    r"\bunsubscribe\b|\bopt(?:ing)?[ -]?out\b|\bremove (?:me|my number)\b|\bleave me alone\b"
    r"|\bstop (?:texting|messaging|sending|contacting|sms|calling|bothering|harassing|these|this|all)\b"
    r"|\b(?:do not|don't|dont|never) (?:text|message|contact|sms|call|write)\b"
    r"|\bno more (?:texts|messages|sms)\b"
    r"|退订|退定|取消订阅|停止(?:发|短信|联系|骚扰)|拒收|(?:不要|别|勿|不用)再?(?:给我)?(?:发|联系|打扰|骚扰|短信)"
)
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'", "\uff07": "'"})
# what traditional characters of these words are in simplified ones
_SIMPLIFIED = str.maketrans("訂閱聯繫別發騷擾給", "订阅联系别发骚扰给")


def plain(text: str) -> str:
    """Width, case and invisible characters folded away, so that one word has one spelling."""
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    kept = (
        char
        for char in folded.translate(_SIMPLIFIED)
        if unicodedata.category(char) not in {"Cf", "Mn", "Me", "Cs", "Co", "Cn"}
    )
    return " ".join("".join(kept).split())


def wants_no_more(text: str) -> bool:
    """The message asks us to stop. What a reading of replies calls an opt-out always does."""
    read = plain(text[:4_000])
    return (
        (len(read) <= _SHORT and _is_word(read))
        or _PHRASES.search(read) is not None
        or phrased_opt_out(text[:4_000])
    )


def _is_word(read: str) -> bool:
    """Nothing but one of the words, once or again and again, in any alphabet and with blanks in it."""
    words = _bare(_COURTESY.sub(" ", fold(read).text)).split() or _bare(fold(read).text).split()
    spaced = bool(words) and all(len(word) == 1 for word in words)
    whole = ("" if spaced else " ").join(words)
    return whole in _FOLDED or (len(set(words)) == 1 and words[0] in _FOLDED)


def _bare(text: str) -> str:
    return " ".join(_MARKS.sub(" ", text).split())


_MARKS = re.compile(r"[^\w']|_")
_FOLDED = frozenset(_bare(fold(word).text) for word in _WORDS)
