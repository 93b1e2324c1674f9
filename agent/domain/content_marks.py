"""What a finished text says, as far as conduct rules ask: opt-out lines, disclosures, signatures.

Read from the text as it would be sent, never from how it was made.
"""

import re
from collections.abc import Callable, Mapping

_OPT_OUT = re.compile(
    r"""\b(reply|text|send|txt)\s+["'“]?(stop|end|quit|unsubscribe|cancel)\b
      | \b(stop|unsubscribe|opt[\s-]?out)\b.{0,40}\b(texts?|messages?|e-?mails?|notifications?)\b
      | \bto\s+(stop|opt[\s-]?out|unsubscribe)\b
      | \b(responda|envíe|envie)\s+(alto|stop|parar|cancelar)\b
      | \b(balas|ketik)\s+(stop|berhenti)\b
      | 退订 | 退訂 | 拒收 | 回复?(td|t|r|n)\b | 回覆?(td|t|r|n)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ATTEMPT = re.compile(r"\battempt(ing)?\s+to\s+collect\s+a\s+debt\b", re.IGNORECASE)
_PURPOSE = re.compile(r"\binformation\b.{0,40}\bused\s+for\s+that\s+purpose\b", re.IGNORECASE)
_COLLECTOR = re.compile(r"\bdebt\s+collector\b", re.IGNORECASE)
_SIGNATURE = re.compile(r"^\s*【[^【】]{1,20}】|【[^【】]{1,20}】\s*$")
_ONE_WAY = re.compile(
    r"(do\s+not|don't|cannot|can't)\s+(be\s+)?(repl(y|ied)|receive\s+repl)|no-?reply", re.IGNORECASE
)
_SENDER = re.compile(r"^\s*(【[^【】]+】|[\w&.'’ -]{2,40}:)")

_LINK = re.compile(r"https?://|www\.|\b[\w-]+(\.[a-z]{2,})+(/|\b)", re.IGNORECASE)
_PAY = re.compile(
    r"\b(pay|owe|balance|due|debt|loan|amount|offer|borrow|credit|call)\b|[$€£¥]\s?\d|还款|欠款|贷款|借款",
    re.IGNORECASE,
)

MARKS: Mapping[str, Callable[[str], bool]] = {
    "opt_out_line": lambda body: _OPT_OUT.search(body) is not None,
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
    if _LINK.search(message) or _PAY.search(message):
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
