"""The invariants of DESIGN §7: a row in the table is one, with the statement that checks it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """One rule: its number in the design, its words, and the statement or the reason it has none."""

    id: str
    title: str
    statement: str | None = None
    pending: str | None = None


# Rows without statement and reason are answered by the re-derivation of loans.
INVARIANTS = (
    Invariant(
        "1",
        "One notice for each loan, anchor and stage, and no attempt without one",
        "invariant_notice_unique",
    ),
    Invariant(
        "2-notice",
        "One attempt of a notice at a time, and none after a delivery",
        "invariant_one_attempt",
    ),
    Invariant("2-number", "One unsettled attempt for a number", "invariant_one_unsettled_number"),
    Invariant(
        "3", "No attempt after the loan was paid or closed, its anchor moved or contact ended"
    ),
    Invariant("4-opt-out", "No attempt after an opt-out", "invariant_after_opt_out"),
    Invariant("4-hold", "No attempt in a hold", "invariant_in_hold"),
    Invariant(
        "4-consent", "No text without a consent that stood then", "invariant_without_consent"
    ),
    Invariant("4-pause", "No attempt under a kill switch", "invariant_while_paused"),
    Invariant(
        "5",
        "No attempt outside the contact window of any candidate zone",
        "invariant_outside_window",
    ),
    Invariant("5-law", "No attempt outside the hours of the packs that decisions recorded"),
    Invariant("6-dates", "No cap on local dates exceeded", "invariant_over_date_cap"),
    Invariant("6-rolling", "No rolling cap exceeded", "invariant_over_rolling_cap"),
    Invariant("6-law", "No cap of the packs that decisions recorded exceeded"),
    Invariant(
        "6-packs", "Every pack that a portfolio names is installed", "invariant_packs_unknown"
    ),
    Invariant(
        "7-decision",
        "Every attempt has one send decision of its instant",
        "invariant_undecided_attempt",
    ),
    Invariant("7-open", "Every notice past its time is closed", "invariant_left_open"),
    Invariant("7-cause", "What closed a notice is on record", "invariant_closed_without_cause"),
    Invariant(
        "8",
        "Every inbound message has a case, or its opt-out a suppression of its instant",
        "invariant_unread_inbound",
    ),
    Invariant("8-answer", "No opt-out was answered twice, or late", "invariant_answered_once"),
    Invariant(
        "9",
        "No promise or deferral granted without a confirmation or a staff act",
        pending="promises and deferrals are not stored yet",
    ),
    Invariant(
        "10-gapless", "Outcomes of a loan are numbered without a gap", "invariant_outcomes_gapless"
    ),
    Invariant("10-order", "Outcomes of a loan are in order of time", "invariant_outcomes_ordered"),
    Invariant("10-derived", "Outcomes equal those re-derived from the events"),
    Invariant("10-loan", "The derived columns of a loan follow from its events"),
    Invariant("11", "Every retraction names one outcome", "invariant_retraction"),
    Invariant("12", "Amounts of messages equal the amount due then, and the text says them"),
    Invariant(
        "12-text", "What was sent says what the recorded packs want, and nothing that they forbid"
    ),
    Invariant("13", "The audit chain verifies", pending="acts of staff are not stored yet"),
    Invariant(
        "14",
        "No personal data in logs and metrics",
        pending="not visible in the database: the tests scan what is logged",
    ),
    Invariant("15-attempt", "No attempt is stranded", "invariant_stranded_attempt"),
    Invariant(
        "15-case",
        "What was never proven sent or not sent has a case",
        "invariant_unproven_without_case",
    ),
    Invariant("15-notice", "No notice is stranded", "invariant_stranded_notice"),
    Invariant("15-loan", "No bucket has begun untold", "invariant_stranded_loan"),
    Invariant(
        "15-receipt", "No receipt waits for a message on record", "invariant_stranded_receipt"
    ),
    Invariant("15-event", "No event waits for a loan that has come", "invariant_stranded_event"),
)
