"""Replies: words alone, words in sentences, and the order in which readings count."""

import pytest

from agent.domain.inbound import Intent, normalise, read_reply

STOPS = ("suppress_number", "send_confirmation_once")
PEOPLE = ("hold_automation", "route_human")


@pytest.mark.parametrize(
    ("text", "locale", "intent"),
    [
        ("OPT OUT", "en-US", Intent.OPT_OUT),
        ("opt-out!", "en-US", Intent.OPT_OUT),
        ("Stop 🛑", "en-US", Intent.OPT_OUT),
        ("“STOP”", "en-US", Intent.OPT_OUT),
        ("stop all", "en-US", Intent.OPT_OUT),
        ("please take me off your list", "en-US", Intent.OPT_OUT),
        ("Stop texting me", "en-US", Intent.OPT_OUT),
        ("do not text me", "en-GB", Intent.OPT_OUT),
        ("parar", "es-MX", Intent.OPT_OUT),
        ("TD", "zh-CN", Intent.OPT_OUT),
        ("回T", "zh-CN", Intent.OTHER),
        ("请不要再给我发短信了", "zh-CN", Intent.OPT_OUT),
        ("r", "en-US", Intent.OTHER),
        ("START", "en-US", Intent.OPT_IN),
        ("info", "en-US", Intent.HELP),
        ("can you stop by tomorrow?", "en-US", Intent.AMBIGUOUS),
        ("别停", "zh-CN", Intent.AMBIGUOUS),
        ("leave me alone", "en-US", Intent.OPT_OUT),
        ("I refuse to pay this", "en-US", Intent.REFUSAL),
        ("This is not Maria", "en-US", Intent.WRONG_NUMBER),
        ("打错了，我不是他", "zh-CN", Intent.WRONG_NUMBER),
        ("I'm not paying today", "en-US", Intent.OTHER),
        ("my lawyer will contact you", "en-US", Intent.ATTORNEY),
        ("My husband passed away", "en-US", Intent.DECEASED),
        ("I never borrowed from you", "en-US", Intent.DISPUTE),
        ("I lost my job", "en-US", Intent.HARDSHIP),
        ("already paid yesterday", "en-US", Intent.PAID_CLAIM),
        ("I'll pay on Friday", "en-US", Intent.PROMISE),
        ("I will not pay on Friday", "en-US", Intent.REFUSAL),
        ("when can I pay?", "en-US", Intent.OTHER),
        ("stop it or I will kill myself", "en-US", Intent.VULNERABLE),
        ("活不下去了，退订", "zh-CN", Intent.VULNERABLE),
        ("only call after 6pm", "en-US", Intent.TIME_PREFERENCE),
        ("", "en-US", Intent.OTHER),
        ("YES", "en-US", Intent.CONFIRM),
        ("好的", "zh-CN", Intent.CONFIRM),
        ("unstop", "en-US", Intent.OPT_IN),
        ("do not call me", "en-US", Intent.MEDIUM_PREFERENCE),
        ("text only please", "en-US", Intent.MEDIUM_PREFERENCE),
        ("don't call me before 9", "en-US", Intent.TIME_PREFERENCE),
        ("I need more time", "en-US", Intent.DEFERRAL),
        ("再给我宽限几天", "zh-CN", Intent.DEFERRAL),
        ("¿me dan una prórroga?", "es-MX", Intent.DEFERRAL),
        ("I lost my job and need an extension", "en-US", Intent.HARDSHIP),
        ("please let me be", "en-US", Intent.OPT_OUT),
    ],
)
def test_reading(text: str, locale: str, intent: Intent) -> None:
    assert read_reply(text, locale).intent is intent


def test_only_a_confirmed_promise_could_do_more_than_hold() -> None:
    assert read_reply("I will pay tomorrow", "en-US").effects == ("record_promise_candidate",)
    assert read_reply("stop, I will pay tomorrow", "en-US").effects[:2] == PEOPLE
    assert read_reply("STOP", "en-US").effects == STOPS
    assert read_reply("Cancel", "en-US").effects == (*STOPS, "route_human")


def test_hours_are_read_back_as_a_preference() -> None:
    assert read_reply("please don't text between 9pm and 7am", "en").effects == (
        "quiet_preference:mon-sun 21:00-07:00",
    )
    assert read_reply("not on weekends please", "en").effects == (
        "quiet_preference:sat-sun 00:00-23:59",
    )


def test_normal_form() -> None:
    assert normalise("  ＳＴＯＰ!! 🙏🏽 ") == "stop"
    assert normalise("Don’t\n\tstop") == "don't stop"
