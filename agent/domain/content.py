"""What a text says that matters to conduct: threats, urgency, debts, sales, links; and what it must say.

Threats and sales are read by lists of words per language, which are data with their sources. A list can
only find what is on it: it stops the careless text, and does not replace a reader. What must stand in a
text, such as the way out, is read from the text as it would be sent, never from how it was made.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.domain.wordlists import WordList, said

THREATS = ("suit", "authority", "shame")
_DEADLINE = re.compile(
    r"\b(?:within|in|en|dalam)\s+(\d{1,3})\s*(?:hours?|h|horas?|jam)\b|(\d{1,3})\s*(?:小时|小時)内?",
    re.IGNORECASE,
)


def facts_said(text: str, channel: str, lists: Sequence[WordList]) -> dict[str, Any]:
    """What a text makes true and what it does not, under the names that conduct rules ask for.

    In a language without lists nobody can say what it threatens or sells: those facts are left out.
    """
    if not lists:
        return {}
    tags = {each.tag for each in said(text, lists)}
    deadline = _DEADLINE.search(text)
    shown = channel == "push" and "debt" in tags
    return {
        "content_class": "solicitation" if "solicitation" in tags else "collection",
        "threatens_suit": "suit" in tags,
        "threatens_action": bool(tags & set(THREATS)),
        "overshadows": deadline is not None or "suit" in tags,
        "deadline_hours": None if deadline is None else int(deadline[1] or deadline[2]),
        "lockscreen_shows_debt": shown,
        "discloses_debt_to_others": shown,
    }


_MONEY = re.compile(
    r"(?:[$€£¥￥₦₹฿₫]|\b[A-Z]{3}\b|\b(?:Rp|Ksh))\s?(\d[\d.,']*)"
    r"|(\d[\d.,']*)\s?(?:元|块|塊|[$€£₦₹฿₫]|[A-Z]{3}\b|dollars?\b|d[oó]lares\b|pesos?\b|rupiah\b|yuan\b)"
)


def amounts_agree(text: str, digits: str) -> bool:
    """Whether a text names no other amount of money than one: an amount is filled in, never typed."""
    found = (match[1] or match[2] for match in _MONEY.finditer(text))
    return all("".join(filter(str.isdigit, amount)) == digits for amount in found)


# ---- what a text must say


_OPT_OUT = re.compile(
    r"""\b(reply|text|send|txt)\s+["'“]?(stop|end|quit|unsubscribe|cancel)\b
      | \b(stop|unsubscribe|opt[\s-]?out)\b.{0,40}\b(texts?|messages?|e-?mails?|notifications?)\b
      | \bto\s+(stop|opt[\s-]?out|unsubscribe)\b
      | \b(responda|envíe|envie)\s+(alto|stop|parar|cancelar)\b
      | \bdar(me|se|te)?\s+de\s+baja\b
      | \b(balas|ketik)\s+(stop|berhenti)\b
      | 退订 | 退訂 | 拒收 | 回复?(td|t|r|n)\b | 回覆?(td|t|r|n)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What Regulation F wants said, in the languages that texts are written in (12 CFR 1006.18(e)(4)).
_ATTEMPT = re.compile(
    r"\battempt(ing)?\s+to\s+collect\s+a\s+debt\b|\b(intenta(mos)?|para)\s+cobrar\s+una\s+deuda\b"
    r"|\bmenagih\s+h?utang\b|催收[债債][务務]",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"\binformation\b.{0,40}\bused\s+for\s+that\s+purpose\b|\b(datos|información)\b.{0,60}\b(ese|este|dicho)\s+fin\b"
    r"|\binformasi\b.{0,60}\btujuan\s+(itu|tersebut)\b|(信息|資訊|资讯).{0,12}[该該此]目的",
    re.IGNORECASE,
)
_COLLECTOR = re.compile(
    r"\bdebt\s+collector\b|\bcobrador(a|es)?\s+de\s+deudas\b|\bagencia\s+de\s+cobr(o|anza)s?\b"
    r"|\bpenagih\s+h?utang\b|[债債][务務]催收[机機][构構]",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"^\s*【[^【】]{1,20}】|【[^【】]{1,20}】\s*$")
# A way out that needs no answer to the sender: another number, an address, a page, the app.
_OTHER_ROUTE = re.compile(
    r"""(\b(stop|unsubscribe|opt[\s-]?out|cancel)\b|退订|退訂|拒收|\bdarse\s+de\s+baja\b|\bberhenti\b)
        .{0,60}
        (https?://|www\.|\b[\w.-]+\.[a-z]{2,}/|[\w.+-]+@[\w-]+\.|\+?\d[\d -]{4,}\d
        |\bapp\b|\bsettings\b|应用|設定|设置)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_ONE_WAY = re.compile(
    r"(do\s+not|don't|cannot|can't)\s+(be\s+)?(repl(y|ied)|receive\s+repl)|no-?reply", re.IGNORECASE
)
_SENDER = re.compile(r"^\s*(【[^【】]+】|[\w&.'’ -]{2,40}:)")

_ANY_LINK = re.compile(r"https?://|www\.|\b[\w-]+(\.[a-z]{2,})+(/|\b)", re.IGNORECASE)
_PAY = re.compile(
    r"\b(pay|owe|balance|due|debt|loan|amount|offer|borrow|credit|call)\b|[$€£¥]\s?\d|还款|欠款|贷款|借款",
    re.IGNORECASE,
)

MARKS: Mapping[str, Callable[[str], bool]] = {
    "opt_out_line": lambda body: _OPT_OUT.search(body) is not None,
    "other_opt_out_route": lambda body: _OTHER_ROUTE.search(body) is not None,
    "initial_disclosure": lambda body: bool(_ATTEMPT.search(body) and _PURPOSE.search(body)),
    "collector_disclosure": lambda body: _COLLECTOR.search(body) is not None,
    "signature": lambda body: _SIGNATURE.search(body) is not None,
    "one_way_notice": lambda body: _ONE_WAY.search(body) is not None,
    "sender_name": lambda body: _SENDER.search(body) is not None,
}


def confirmation_parts(message: str) -> set[str]:
    """What the answer to an opt-out contains: the confirmation itself, a scope question, or more."""
    parts = {"confirmation"}
    if "?" in message or "？" in message:
        parts.add("scope_question")
    if _ANY_LINK.search(message) or _PAY.search(message):
        parts.add("other")
    return parts


# A gateway bans a subject, not a spelling: these words tell that a text is about it.
_SUBJECTS = {
    "催款": ("催款", "催收", "催缴", "逾期", "欠款", "还款", "拖欠", "未还"),
    "催收": ("催款", "催收", "催缴", "逾期", "欠款", "还款", "拖欠", "未还"),
    "贷款": ("贷款", "借款", "借贷", "放款", "额度", "借钱"),
    "征信": ("征信", "信用记录", "信用报告", "失信", "黑名单"),
    "loan": ("loan", "borrow", "lend", "credit line"),
    "debt": ("debt", "overdue", "past due", "late payment", "owe", "collect"),
}


def speaks_of(subject: str, body: str) -> bool:
    """Whether a text is about a subject that a route bans."""
    text, wanted = body.casefold(), subject.casefold()
    return wanted in text or any(word in text for word in _SUBJECTS.get(wanted, ()))
