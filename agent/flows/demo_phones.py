"""How the phones of the demo behave: what is wrong with one phone is a rule for its address."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from agent.domain.demo_people import Habit, Player, Story, changed_phones
from channels.base import PUSH, SMS, Refusal, Status
from channels.sandbox.script import Act, Receipts, Rule, Script

# Push answers within seconds; a text message takes a little longer, and some say "sent" first.
_WELL = (
    Rule(channel=PUSH, fate_after=2.0),
    Rule(channel=SMS, fate_after=6.0, sent_after=2.0),
)


def script_at(story: Story, at: datetime) -> Script:
    """The script in force: phones that change their ways do so at an instant of their own."""
    changed = changed_phones(story)
    return Script((*_odd(story, changed, at), *_WELL))


def next_change(story: Story, after: datetime) -> datetime | None:
    """When the script changes next."""
    return min((at for at in changed_phones(story).values() if at > after), default=None)


def _odd(story: Story, changed: Mapping[str, datetime], at: datetime) -> Iterator[Rule]:
    for player in story.players:
        if player.sms not in changed or changed[player.sms] <= at:
            yield from _rules(player)


def _rules(player: Player) -> Iterator[Rule]:
    match player.habit:
        case Habit.DEAF_PUSH if player.device:
            # every second phone says nothing at all, the others say that nothing arrived
            silent = int(player.ref[-1]) % 2 == 0
            receipts = Receipts.LOST if silent else Receipts.ONCE
            yield Rule(
                channel=PUSH, prefix=player.device, receipts=receipts, fate=Status.UNDELIVERED
            )
        case Habit.OPTED_OUT:
            yield _refusing(player, Refusal.OPTED_OUT, "21610")
        case Habit.NUMBER_GONE:
            yield _refusing(player, Refusal.PERMANENT, "21211")
        case Habit.LOST_ANSWER:
            yield Rule(Act.LOSE_ANSWER, 0.6, channel=SMS, prefix=player.sms, receipts=Receipts.LOST)
        case Habit.NEVER_ARRIVED:
            yield Rule(Act.DROP, 0.4, channel=SMS, prefix=player.sms)
        case _:
            return


def _refusing(player: Player, refusal: Refusal, code: str) -> Rule:
    return Rule(Act.REFUSE, channel=SMS, prefix=player.sms, refusal=refusal, code=code)
