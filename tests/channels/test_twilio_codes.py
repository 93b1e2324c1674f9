"""Every error code of the table has one meaning; a code that is not there stops loudly, and only once."""

import pytest

from channels.base import Fault, Halt, Refusal, Refused
from channels.sms_twilio.codes import fault_of, known_codes, refusal

EXPECTED = {
    Fault.NUMBER: {21211, 21214, 21217, 21614, 30005, 30006, 63024, 63032, 63049},
    Fault.OPT_OUT: {21610, 63014, 63033},
    Fault.BLOCKED: {30004},
    Fault.CONFIGURATION: {21408, 21606, 21612, 21703, 21704, 30032, 30034},
    # a text outside the conversation window is our mistake with one message: no reason to stop a country
    Fault.OURS: {63016, 21602, 21603, 21617, 35111, *range(35114, 35119), 90007, 30610, 30047},
    Fault.ACCOUNT: {20003, 20005, 90010, 30002, 30033},
    Fault.TRANSIENT: {20429, 21611, 30001, 30022, 30023, 30027, 30003, 30008, 30017, 30500, 63018, 63038},
    Fault.UNKNOWN: {30410, 20500, 20503},
    Fault.FILTERED: {30007},
    Fault.EXPIRED: {30036},
}  # fmt: skip


def test_every_row_of_the_research_stands_in_the_table() -> None:
    found: dict[Fault, set[int]] = {}
    for number, code in known_codes().items():
        found.setdefault(code.fault, set()).add(number)
    assert found == EXPECTED


def test_what_only_a_second_message_proves_is_marked() -> None:
    assert {n for n, code in known_codes().items() if code.confirm} == {
        30005, 30006, 63024, 63032, 63049,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (21211, Refused("21211", Refusal.PERMANENT, fault=Fault.NUMBER)),
        (21610, Refused("21610", Refusal.OPTED_OUT, fault=Fault.OPT_OUT)),
        (21408, Refused("21408", Refusal.CONFIGURATION, Halt.ROUTE, fault=Fault.CONFIGURATION)),
        (21617, Refused("21617", Refusal.CONFIGURATION, fault=Fault.OURS)),
        (20003, Refused("20003", Refusal.TRANSIENT, Halt.SENDER, fault=Fault.ACCOUNT)),
        (21611, Refused("21611", Refusal.TRANSIENT, Halt.AWHILE, 600, Fault.TRANSIENT)),
        (30007, Refused("30007", Refusal.CONFIGURATION, fault=Fault.FILTERED)),
        (12345, Refused("12345", Refusal.CONFIGURATION, fault=Fault.UNKNOWN)),
    ],
)
def test_refusals(code: int, answer: Refused) -> None:
    assert refusal(code) == answer


def test_the_providers_own_wish_for_time_wins() -> None:
    assert refusal(21611, 7.0).retry_after == 7.0


@pytest.mark.parametrize(
    ("code", "fault"),
    [("30005", Fault.NUMBER), ("99999", Fault.UNKNOWN), ("", None), (None, None), ("x", Fault.UNKNOWN)],
)  # fmt: skip
def test_faults_of_callbacks(code: str | None, fault: Fault | None) -> None:
    assert fault_of(code) is fault
