"""Words by which people say that they want no more messages, read strictly towards silence.

Not the whole reading of a reply: only what must take effect in the transaction that stores it. A
wrong yes costs a person nothing but messages; a wrong no is what must never happen.
"""

import re
import unicodedata

# whole messages; one-letter codes are what Chinese carriers teach people to answer
_WORDS = frozenset(
    (
        *("stop", "stopall", "stop all", "unsubscribe", "end", "quit", "cancel", "revoke"),
        *("optout", "opt out", "remove", "remove me", "stop it", "stop please", "please stop"),
        *("t", "td", "n", "退订", "退", "停", "停止", "拒收", "取消", "取消订阅", "不要", "滚"),
    )
)
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
    """The message asks us to stop."""
    read = plain(text[:4_000])
    bare = " ".join(re.sub(r"[^\w' ]|_", " ", read).split())
    return bare in _WORDS or _PHRASES.search(read) is not None
