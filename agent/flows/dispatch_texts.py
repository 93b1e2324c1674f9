"""What a message says, as far as conduct rules ask: read once a text and setting, not once a message.

Amounts, dates and the ledger's own reference are the only things that differ between two messages of
one text, and none of them says anything that a rule asks for. So a text is read with sample values.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from agent.domain.conduct_ways import BORROWER, Named
from agent.domain.content import amounts_agree, facts_said
from agent.domain.frame import Country, MessageClass, Role, Setting, country_of
from agent.domain.ladder import Grade, Stage
from agent.domain.message import Composed, Texts, Wording, compose
from agent.flows.lane import Lane
from agent.flows.rules import BETWEEN, word_lists
from agent.store.dispatch import PointRow
from channels.base import SMS

# minor units of the sample, which a text may write however its language groups digits
_AMOUNT = 123_456
_DUE, _TODAY = date(2026, 9, 25), date(2026, 9, 28)
# What a lender is called is not what a message says: its name is left out where words are read.
_NAMELESS = "\ufffc"
# "+" and more digits than any calling code has: two numbers that begin alike are of one country.
_NATION = 8


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One text in one setting: its name, what it says, and what that makes of the message."""

    name: str
    facts: Named
    content_class: str
    locale: str


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of who sends: whether it can take replies, and what its gateways refuse."""

    kind: str | None = None
    bans: tuple[str, ...] | None = None
    country: str | None = None


def setting_of(
    stage: Stage, channel: str, address: str | None, lane: Lane, region: str | None, *, first: bool
) -> Setting:
    """What is put around the text: by the country of the number, what the message is, and who collects.

    What must be disclosed follows every place where the person may be, wherever their number is from.
    """
    begins = address[:_NATION] if address is not None and channel == SMS else None
    reminder = stage.grade is Grade.REMINDER
    role = lane.portfolio.role or Role.FIRST_PARTY
    elsewhere = region if role is Role.THIRD_PARTY and channel == SMS else None
    return _setting(lane.texts, begins, role, elsewhere, reminder=reminder, first=first)


@lru_cache(maxsize=65_536)
def _setting(
    texts: Texts,
    begins: str | None,
    role: Role,
    region: str | None,
    *,
    reminder: bool,
    first: bool,
) -> Setting:
    country = None if begins is None else country_of(begins, texts.countries.values())
    message_class = MessageClass.REMINDER if reminder else MessageClass.COLLECTION
    places = {place.partition("-")[0] for place in (region or "").split(BETWEEN)}
    known = (texts.countries[place] for place in places if place in texts.countries)
    discloses = any(role.value in one.discloses for one in known)
    return Setting(country, role, message_class, first, discloses)


@lru_cache(maxsize=8192)
def profile(
    texts: Texts, message: str, channel: str, locale: str, lender: str, setting: Setting
) -> Profile | None:
    """What the text says that this reader would get; None if there is none."""
    whole = _composed(texts, message, channel, locale, lender, setting)
    plain = _composed(texts, message, channel, locale, _NAMELESS, setting)
    if whole is None or plain is None:
        return None
    facts = facts_said(_shown(plain), channel, word_lists().get(plain.locale, ()))
    content_class = str(facts.get("content_class", "collection"))
    name = f"{whole.locale}/{message}" + ("" if channel == SMS else f" by {channel}")
    read = ("body", _shown(whole)), ("amount_agrees", amounts_agree(_shown(plain), str(_AMOUNT)))
    return Profile(name, (*read, *facts.items()), content_class, whole.locale)


def _composed(
    texts: Texts, message: str, channel: str, locale: str, lender: str, setting: Setting
) -> Composed | None:
    sample = Wording(lender, "0", _AMOUNT, "USD", _DUE, _TODAY)
    found = compose(texts, message, channel, locale, sample, setting)
    return found if isinstance(found, Composed) else None


def _shown(composed: Composed) -> str:
    return composed.body if composed.title is None else f"{composed.title}\n{composed.body}"


def sender_of(lane: Lane, point: PointRow, address: str | None, country: Country | None) -> Sender:
    """What is known of the sender; a name in letters takes no replies, a pool may hold any kind."""
    if point.point.channel != SMS:
        return Sender()
    carriers = lane.carriers.get(SMS)
    carrier = None if carriers is None else carriers.of(point.provider, address or "")
    sender = "" if carrier is None else carrier.sender
    kind: str | None = "number"
    if sender.startswith("MG"):
        kind = None
    elif any(character.isalpha() for character in sender):
        kind = "alphanumeric"
    if country is None:
        return Sender(kind)
    return Sender(kind, country.bans, country.code)


@lru_cache(maxsize=65_536)
def said_of(
    text: Profile,
    channel: str,
    step: tuple[str, str],
    role: Role | None,
    sender: Sender,
    known_as: str | None = None,
    *,
    first: bool,
) -> Named:
    """Facts of a message and its route, by the names that rules use; what is not known is left out."""
    facts: dict[str, object] = {
        "channel": channel, "target": BORROWER, "stage": step[0], "grade": step[1],
        "first_communication": first,
    }  # fmt: skip
    if role is not None:
        facts["role"] = role.value
    if sender.kind is not None:
        facts |= {"sender_type": sender.kind, "one_way_sender": sender.kind == "alphanumeric"}
    if known_as is not None:
        facts["template_id"] = known_as
    if sender.bans is not None:
        facts["gateway_bans"] = sender.bans
    if sender.country is not None or channel != SMS:
        facts["route"] = f"{(sender.country or '').lower()}_sms" if channel == SMS else channel
    return (*facts.items(), *text.facts)
