"""What a reply means for contact, by fixed words and phrases in a fixed order; the rest is for people.

A reading may only reduce, delay or hold contact by itself. An opt-out word alone is an opt-out in any
case, width and punctuation; inside a sentence it counts only where the sentence says so. Negation or
another sense of the word holds automation and asks a person. Somebody in danger comes before all.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Intent(StrEnum):
    VULNERABLE = "vulnerable"
    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    CONFIRM = "confirm"
    HELP = "help"
    CEASE = "cease_communication"
    REFUSAL = "refusal_to_pay"
    WRONG_NUMBER = "wrong_number"
    BANKRUPTCY = "bankruptcy"
    ATTORNEY = "attorney"
    DECEASED = "deceased"
    DISPUTE = "dispute"
    IDENTITY_THEFT = "identity_theft"
    COMPLAINT = "complaint"
    TIME_PREFERENCE = "time_preference"
    MEDIUM_PREFERENCE = "medium_preference"
    HARDSHIP = "hardship"
    DEFERRAL = "deferral_request"
    PAID_CLAIM = "paid_claim"
    PROMISE = "promise_to_pay"
    AMBIGUOUS = "ambiguous_opt_out"
    OTHER = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood, by which rule, and what follows at once."""

    intent: Intent
    effects: tuple[str, ...]
    rule: str


# Words that alone are an opt-out: the regulation's seven, gateways' lists, house additions.
STOP_WORDS = frozenset(
    ("stop", "quit", "end", "revoke", "cancel", "unsubscribe", "stopall", "stop all", "optout",
     "opt out", "opt-out", "remove", "alto", "parar", "cancelar", "baja", "detener", "dar de baja",
     "no mas", "no más", "arret", "arrêt", "berhenti", "t", "td", "r", "n", "tdzd", "qx",
     "退订", "退訂", "拒收", "停止", "取消订阅", "不要再发", "别再发", "不要再發")
)  # fmt: skip
_START_WORDS = frozenset(("start", "unstop", "resume", "alta", "恢复", "恢復"))
# An answer to a question of ours; where none is open it means nothing.
_YES_WORDS = frozenset(
    ("yes", "y", "yeah", "yep", "ok", "okay", "si", "sí", "oui", "ya", "是", "是的", "好", "好的")
)
_HELP_WORDS = frozenset(("help", "info", "ayuda", "aide", "帮助", "幫助", "bantuan"))
# Alone a word of the list, but people use it of other things too: somebody also looks.
_ALSO_HUMAN = frozenset(("cancel", "cancelar", "不要再发", "别再发", "不要再發", "停止"))
# Letters that mean an opt-out only where gateways taught people so.
_LETTERS = frozenset(("t", "r", "n"))

_CRISIS = (
    r"\b(kill|hurt|harm)\s+my\s?self\b",
    r"\bsuicid",
    r"\b(want|going|ready|wanna)\s+(to\s+)?(die|end\s+(it|my\s+life|everything|it\s+all))\b",
    r"\bend\s+(it\s+all|my\s+life)\b",
    r"\bbetter\s+off\s+(dead|without\s+me)\b",
    r"\bno\s+(reason|point)\s+(to|in)\s+liv",
    r"自杀|自殺|不想活|想死|活不下去|结束生命|輕生|轻生",
    r"\b(suicidarme|matarme|quitarme\s+la\s+vida|no\s+quiero\s+vivir)\b",
    r"\bbunuh\s+diri\b",
)
_WRONG = (
    r"\bwrong\s+(number|person|phone)\b",
    r"\b(i\s+am|i'm|im|this\s+is)\s+not\s+(him|her|them|that\s+person)\b",
    r"\b(don't|do\s+not)\s+know\s+(this|that|any)\s+(person|name)\b",
    r"\bno\s+(one|body)\s+(here\s+)?(by|of|with)\s+that\s+name\b",
    r"打错|打錯|发错|發錯|号码错|不认识(他|她|这个人)|我不是(他|她|本人)",
    r"\bn[uú]mero\s+equivocado\b|\bsalah\s+(nomor|sambung)\b",
)
_WRONG_EFFECTS = ("block_number_now", "undo_call_counts_for_person")
# A name is told by its capital letter, so this reads the text as it was written.
_OTHER_NAME = re.compile(
    r"\b([Ii] am|[Ii]['’]?m|[Tt]his is) not (Mr\.? |Ms\.? |Mrs\.? )?[A-Z][a-z]+\b"
)
_BANKRUPTCY = (
    r"\bbankrupt",
    r"\bchapter\s+(7|11|13|seven|thirteen)\b",
    r"\bautomatic\s+stay\b|\binsolvenc",
    r"破产|破產|\bbancarrota\b|\bquiebra\b|\bpailit\b",
)
_ATTORNEY = (
    r"\bmy\s+(attorney|lawyer|solicitor)\b",
    r"\b(attorney|lawyer|solicitor)\s+(represents|is\s+handling)",
    r"\brepresented\s+by\b",
    r"我的律师|我的律師|\bmi\s+abogad[oa]\b",
)
_DECEASED = (
    r"\b(he|she|they|my\s+\w+|the\s+\w+)\s+(has\s+|have\s+)?(died|passed\s+away|is\s+dead|is\s+deceased)\b",
    r"\bdeceased\b|去世|过世|過世|已故|falleci[oó]|meninggal",
)
_THEFT = (
    r"\bidentity\s+(theft|stolen)\b",
    r"\bstole\s+my\s+identity\b",
    r"\b(someone|somebody)\s+(else\s+)?(used|opened)\b.*\b(my\s+name|identity)\b",
    r"\bfraud(ulent)?\b|冒用|盗用|盜用|身份被",
)
_DISPUTE = (
    r"\bnot\s+my\s+(debt|loan|account|bill)\b",
    r"\b(i|we)\s+(dispute|don't\s+owe|do\s+not\s+owe|never\s+(took|borrowed|had|owed))\b",
    r"\bdisput(e|ing|ed)\b",
    r"\b(amount|balance)\s+is\s+(wrong|incorrect)\b",
    r"\b(prove|verify|validate|validation\s+of|proof\s+of)\s+(it|this|the|my)?\s*(debt|loan)\b",
    r"不是我的(债|債|贷|貸|借)|没有?借过|沒有?借過|我没借|有异议|金额不对|金額不對",
    r"\bno\s+es\s+mi\s+deuda\b|\bno\s+debo\b|\bbukan\s+(utang|hutang)\s+saya\b",
)
_CEASE = (
    r"\b(stop|quit|cease)\s+(all\s+)?(contact\w*|communicat\w*|harass\w*|bother\w*)",
    r"\bcease\s+and\s+desist\b",
    r"\b(do\s+not|don't|never)\s+(ever\s+)?(contact|communicate\s+with)\s+me\b",
    r"不要再?(联系|聯繫|骚扰|騷擾)我?|别再?(联系|骚扰)我?|停止(联系|骚扰|催收)",
    r"\b(no|dejen?\s+de)\s+(me\s+)?(contacten|contactarme|molestar\w*)",
    r"\bjangan\s+hubungi\b",
)
_REFUSAL = (
    r"\b(i\s+)?(refuse|am\s+not\s+going|'m\s+not\s+going|will\s+not|won't|will\s+never)\s+(to\s+)?(ever\s+)?pay\b",
    r"\bnot\s+paying\s+(this|it|you|a)\b",
    r"我?(不会|拒绝|绝不|不會|拒絕)(再)?(还|還)(款|钱|錢)?",
)
_OPT_OUT = (
    r"\b(stop|quit|end)\s+(sending|texting|messaging|the\s+(texts?|messages?)|these|this|all|texts?|messages?)",
    r"\b(do\s+not|don't|never)\s+(ever\s+)?(text|message|sms|send)\s+(me|messages?|texts?|this|these|to\s+me)(?!.*\b(at|before|after|during|between|until)\b)",
    r"\b(no\s+more|enough)\s+(texts?|messages?|sms)\b",
    r"\b(remove|delete|take)\s+me\b|\b(take|remove)\s+(my|this)\s+number\b",
    r"\b(opt|opting)\s+(me\s+)?out\b|\bunsubscribe\b|\brevoke\s+(my\s+)?consent\b",
    r"\bno\s+m[aá]s\s+(mensajes|textos|sms)\b|\bdejen?\s+de\s+(enviar|mandar)\w*|\bno\s+(me\s+)?(env[ií]en|manden)\b",
    r"\b(arr[eê]tez|ne\s+plus)\b.*\b(envoyer|messages?|textos?|sms)\b|\bplus\s+de\s+(messages?|textos?)\b",
    r"\b(berhenti|jangan)\s+(kirim|sms)\b",
)
# A reasonable person may mean the number or the debt: the number is closed, and somebody looks.
_OPT_OUT_OR_CEASE = (
    r"\b(leave|let)\s+me\s+(alone|be)\b",
    r"\bgo\s+away\b|\bget\s+lost\b",
    r"\bd[eé]j[ea]n?me\s+en\s+paz\b",
)
_NO_CALLS = (
    r"\b(don't|do\s+not|dont|never|stop|quit)\s+(ever\s+)?(call|phone|ring)(ing)?\b",
    r"\bno\s+(more\s+)?(phone\s+)?calls\b|\b(text|sms|email)s?\s+only\b|\bonly\s+(text|sms|email)\b",
    r"(不要|别|別|请勿|請勿)(再)?(打电话|打電話|来电|來電)|\bno\s+(me\s+)?llam(en|es|e)\b|\bjangan\s+telepon\b",
)
_OPT_OUT_HAN = (
    r"(不要|别|別|请勿|請勿|停止|不想|不用)(再|继续|繼續)?(给我|給我|收到|接收)?(发|發|推送|短信|信息|简讯|簡訊)",
    r"(取消|退)(短信|订阅|訂閱)|不再接收|拒绝接收|拒絕接收",
)
_TIME = (
    r"\b(not|don't|do\s+not|can't|cannot|never|only)\b.*\b(at\s+work|work\s+hours?|before|after|between|during|mornings?|evenings?|nights?|weekends?|until)\b",
    r"\binconvenient\b|\bi('m|\s+am)\s+(at\s+work|busy|working|sleeping)\b",
    r"(上班|工作)(时间|時間)|(晚上|早上|周末|週末|夜里).*(不要|别|別)|(不要|别|別).*(晚上|早上|周末|週末|夜里)",
)
_COMPLAINT = (
    r"\b(complain|complaint|ombudsman|regulator|cfpb|fca|sue\s+you|lawsuit|court)\b",
    r"投诉|投訴|举报|舉報|起诉你|\bqueja\b|\bdenuncia\b",
)
_HARDSHIP = (
    r"\b(lost\s+my\s+job|laid\s+off|unemployed|can't\s+(afford|pay)|cannot\s+(afford|pay)|hospital|sick|no\s+money)\b",
    r"失业|失業|没钱|沒錢|还不起|還不起|困难|困難|住院|生病|\bsin\s+trabajo\b|\bno\s+puedo\s+pagar\b",
)
_DEFERRAL = (
    r"\b(more|extra|another|additional)\s+(time|days?|weeks?|months?)\b|\b(few|two|three|couple\s+of)\s+more\s+(days?|weeks?)\b",
    r"\b(extend|extension|postpone|defer|deferral|push\s+back|later\s+date|grace\s+period)\b",
    r"延期|宽限|寬限|(缓|緩|晚|迟|遲|推迟|推遲)(几|幾|两|兩|一|\d+)?(天|周|週|个月|個月)|多给.*(天|时间|時間)",
    r"\b(pr[oó]rroga|aplazar|m[aá]s\s+(tiempo|d[ií]as|semanas))\b|\b(tunda|perpanjang)",
)
_PAID = (
    r"\b(i\s+|have\s+|already\s+|i've\s+|just\s+)(already\s+|just\s+)?paid\b",
    r"已经?(还|還|付|缴|繳)|(还|還|付)(过|過|清)了|\bya\s+pagu[eé]\b|\bsudah\s+(bayar|lunas)\b",
)
_PROMISE = (
    r"\b(i'll|i\s+will|will|i\s+can|going\s+to|gonna|i\s+shall)\b.*\bpay\b",
    r"\bpay\b.*\b(tomorrow|today|tonight|monday|tuesday|wednesday|thursday|friday|saturday|sunday|next\s+\w+|payday|on\s+the\s+\d+)",
    r"(就|会|會|再|来|來|能|可以|一定)(还|還|付)(款|钱|錢|清)?|(明天|今天|后天|後天|周.|週.|下周|下週|月底|发工资|發工資).*(还|還|付)",
    r"\b(pagar[eé]|voy\s+a\s+pagar)\b|\bakan\s+(saya\s+)?bayar\b",
)
_NEGATED_STOP = (
    r"\b(don't|do\s+not|dont|never|not)\s+(\w+\s+)?(stop|end|cancel|quit|unsubscribe)\b"
    r"|(不要|别|別)(停|退订|退訂)"
)
_STOP_INSIDE = r"\b(stop|quit|end|cancel|unsubscribe|revoke|opt\s*out)\b|退订|退訂|拒收"

_ANY_OPT_OUT = re.compile("|".join((*_OPT_OUT_OR_CEASE, *_OPT_OUT_HAN, *_OPT_OUT)))
_NEGATED = re.compile(_NEGATED_STOP)

# The order decides: what protects people more comes first.
_ORDER: tuple[tuple[Intent, tuple[str, ...], tuple[str, ...]], ...] = (
    (Intent.WRONG_NUMBER, _WRONG, _WRONG_EFFECTS),
    (Intent.BANKRUPTCY, _BANKRUPTCY, ("hold_bankruptcy",)),
    (Intent.DECEASED, _DECEASED, ("hold_deceased",)),
    (Intent.ATTORNEY, _ATTORNEY, ("hold_attorney",)),
    (Intent.IDENTITY_THEFT, _THEFT, ("hold_identity_theft", "route_human")),
    (Intent.CEASE, _CEASE, ("cease_debt_all_channels", "send_no_marketing")),
    (Intent.DISPUTE, _DISPUTE, ("hold_dispute",)),
    (Intent.REFUSAL, _REFUSAL, ("cease_debt_all_channels",)),
)
_AFTER: tuple[tuple[Intent, tuple[str, ...], tuple[str, ...]], ...] = (
    (Intent.COMPLAINT, _COMPLAINT, ("hold_automation", "route_human")),
    (Intent.HARDSHIP, _HARDSHIP, ("hold_automation", "route_human")),
    (Intent.DEFERRAL, _DEFERRAL, ("pause_collection_until_answer",)),
    (Intent.PAID_CLAIM, _PAID, ("hold_automation", "route_human")),
)
_HUMAN = ("hold_automation", "route_human")


# Emoji and what modifies or joins them, control and format characters.
_NO_WORDS = frozenset(("So", "Sk", "Cf", "Cc", "Cs", "Mn", "Me"))


def normalise(text: str) -> str:
    """NFKC, lower case, plain apostrophes, no emoji, one blank between words, no outer marks."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("‘", "'")
    kept = "".join(c for c in folded if c.isspace() or unicodedata.category(c) not in _NO_WORDS)
    return " ".join(kept.split()).strip(" .,!?;:'\"*()[]<>-_~。，！？；：、“”…")


def phrased_opt_out(text: str) -> bool:
    """It says so somewhere, whatever else: all that `read_reply` makes an opt-out by its phrases."""
    said = normalise(text)
    return _ANY_OPT_OUT.search(said) is not None and _NEGATED.search(said) is None


def read_reply(text: str, locale: str) -> Reading:
    """The reading of one reply. `locale` says which single letters mean an opt-out there."""
    said = normalise(text)
    if _any(_CRISIS, said):
        return Reading(Intent.VULNERABLE, ("hold_automation", "route_human_urgent"), "crisis")
    if _OTHER_NAME.search(text):
        return Reading(Intent.WRONG_NUMBER, _WRONG_EFFECTS, "other-name")
    alone = _alone(_polite(said), locale)
    if alone is not None:
        return alone
    if re.search(_NEGATED_STOP, said):
        return Reading(Intent.AMBIGUOUS, _HUMAN, "negated-stop")
    for reading in _phrases(said, locale):
        return reading
    return Reading(Intent.OTHER, ("route_human",), "unknown")


_COURTESY = re.compile(
    r"\b(please|pls|plz|por\s+favor|s'il\s+vous\s+pla[iî]t|thanks?|thank\s+you|now)\b|^(请|請)|谢谢|謝謝"
)


def _polite(said: str) -> str:
    words = re.sub(
        r"\b(please|pls|plz|por\s+favor|s'il\s+vous\s+pla[iî]t|thanks?|thank\s+you|now)\b",
        " ",
        said,
    )
    return normalise(words)


def _alone(word: str, locale: str) -> Reading | None:
    """The whole message is one word of the lists."""
    if word in STOP_WORDS and (_chinese(locale) or word not in _LETTERS):
        effects = _opting_out(locale, human=word in _ALSO_HUMAN)
        return Reading(Intent.OPT_OUT, effects, f"word:{word}")
    if word in _HELP_WORDS:
        return Reading(Intent.HELP, ("send_help_once",), f"word:{word}")
    if word in _START_WORDS:
        return Reading(Intent.OPT_IN, ("restore_number_consent",), f"word:{word}")
    if word in _YES_WORDS:
        return Reading(Intent.CONFIRM, ("no_effect_without_open_question",), f"word:{word}")
    return None


def _opting_out(locale: str, *, human: bool) -> tuple[str, ...]:
    """A confirmation is what the law of the United States speaks of; Chinese gateways send none."""
    confirm = () if _chinese(locale) else ("send_confirmation_once",)
    return ("suppress_number", *confirm, *(("route_human",) if human else ()))


def _chinese(locale: str) -> bool:
    return locale.lower().startswith("zh")


def _phrases(said: str, locale: str) -> Iterator[Reading]:
    """Every phrase that is found, in the order in which it counts."""
    yield from _found(_ORDER, said)
    preferred = _quiet_hours(said)
    if preferred is not None:
        yield Reading(Intent.TIME_PREFERENCE, (preferred,), "phrase:time")
    if _any(_NO_CALLS, said):
        yield Reading(Intent.MEDIUM_PREFERENCE, ("block_channel:call",), "phrase:medium")
    if _any(_OPT_OUT_OR_CEASE, said):
        yield Reading(Intent.OPT_OUT, _opting_out(locale, human=True), "phrase:opt-out-or-cease")
    if _any(_OPT_OUT_HAN, said):
        yield Reading(Intent.OPT_OUT, _opting_out("zh", human=True), "phrase:opt-out")
    if _any(_OPT_OUT, said):
        effects = _opting_out(locale, human=_chinese(locale))
        yield Reading(Intent.OPT_OUT, effects, "phrase:opt-out")
    yield from _found(_AFTER, said)
    yield from _promises(said)


def _found(
    table: tuple[tuple[Intent, tuple[str, ...], tuple[str, ...]], ...], said: str
) -> Iterator[Reading]:
    for intent, patterns, effects in table:
        if _any(patterns, said):
            yield Reading(intent, effects, f"phrase:{intent}")


def _promises(said: str) -> Iterator[Reading]:
    stops = re.search(_STOP_INSIDE, said) is not None
    if _any(_PROMISE, said) and not _doubtful(said):
        # the word stop is no revocation here, but a machine must not decide that alone
        held = _HUMAN if stops else ()
        yield Reading(Intent.PROMISE, (*held, "record_promise_candidate"), "phrase:promise")
    if stops:
        yield Reading(Intent.AMBIGUOUS, _HUMAN, "stop-inside")


def _doubtful(said: str) -> bool:
    """Negation or a question blocks every positive reading."""
    return bool(
        re.search(
            r"\b(not|won't|can't|cannot|never|don't|if|when|how|what)\b|不|没|沒|吗|嗎|怎么|\?|？",
            said,
        )
    )


_DAYS = (
    (r"\bweekends?\b|周末|週末", "sat-sun"),
    (r"\b(every\s?day|any\s?day|daily)\b|每天", "mon-sun"),
    (r"\bweekdays?\b|\bwork\b|上班|工作", "mon-fri"),
)
_RANGE = re.compile(
    r"(\d{1,2})(?::(\d{2}))?\s*(am|pm)?\s*(?:-|–|to|and|until|till|到|至)\s*(\d{1,2})(?::(\d{2}))?\s*(am|pm)?"
)


def _quiet_hours(said: str) -> str | None:
    """`quiet_preference:mon-fri 09:00-17:00` where the person said so, else that a person asks."""
    if not _any(_TIME, said):
        return None
    days = next((days for pattern, days in _DAYS if re.search(pattern, said)), "mon-sun")
    found = _RANGE.search(said)
    if found is None:
        if days == "sat-sun":
            return "quiet_preference:sat-sun 00:00-23:59"
        return "route_human"
    begin_hour, begin_minute, begin_half, end_hour, end_minute, end_half = found.groups()
    begins = _clock(int(begin_hour), begin_minute, begin_half)
    ends = _clock(int(end_hour), end_minute, end_half)
    if end_half is None and ends <= begins and ends < 12 * 60:
        ends += 12 * 60  # nine to five
    return (
        f"quiet_preference:{days} {begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}"
    )


def _clock(hour: int, minute: str | None, half: str | None) -> int:
    if half is not None:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return min(hour, 23) * 60 + int(minute or 0)


def _any(patterns: tuple[str, ...], said: str) -> bool:
    return any(re.search(pattern, said) for pattern in patterns)
