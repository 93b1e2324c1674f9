"""Replay report: its words. What a figure counts, and what a rule means to who never saw its id."""

from collections.abc import Mapping

DEFINITIONS = {
    "notice": "one planned contact, counted once per (loan, anchor, stage); a fallback to"
    " another channel is a second message of the same notice",
    "paid_next": "sent notices after which the loan was cured, paid off or its due date moved on,"
    " with no later message about that due date in between. The last message before a"
    " payment need not be its cause",
    "person_weeks": "weeks (Monday to Sunday, local time) in which a borrower got n messages, over"
    " all loans and channels; weeks without a message are not counted",
    "peaks": "the most notices one borrower got within a local day and within seven local days"
    " in a row; a fallback of one notice is not a second one",
    "rules": "decisions in which the rule failed; a decision with several failing rules counts"
    " for each",
    "median_amount": "the lower median of the amounts asked for, one count a message: an amount"
    " that was really asked",
    "cure_rate": "stays in bucket X that ended current or paid off ÷ stays in bucket X that began"
    " (by count)",
    "roll_rate": "loans in bucket X at the end of a month that are in bucket Y at the end of the"
    " next month ÷ loans in bucket X at the end of the first (cohort form, by count,"
    " all months together)",
    "lateness": "date an instalment was covered by payments − its due date, over all instalments"
    " of loans that were paid off; fees are left out",
    "payoffs": "loans that were paid off, retracted payoffs left out",
    "charge_offs": "loans recommended to the ledger for charge-off, retracted recommendations left"
    " out",
}
GATE_RULES = {
    "delivered": "It had arrived by another way after all",
    "paid": "The loan had been paid off",
    "closed": "The lender had closed the loan",
    "wrong-anchor": "The due date it was about had moved on: paid, deferred or rescheduled",
    "contact-ended": "Automated contact about this loan had ended",
    "superseded": "A later step of the schedule had become due, and only one is sent",
    "not-after": "It could no longer go out in time to be useful",
    "stage-unknown": "The schedule no longer has this step",
    "no-contact-point": "No phone number or device to reach the person on",
    "opted-out": "The person had opted out",
    "no-consent": "No recorded consent for this channel",
    "number-busy": "A message to this number was still on its way",
    "pace": "The sender's line was full: it waited for its turn",
    "route-quiet-hours": "The way to the number is shut at that hour",
    "route-halted": "The provider took nothing by this route: it waited until that is tried again",
    "ENGINE-BAD-ZONE": "A time zone of the person is not known, so neither are the contact hours",
    "ENGINE-CALENDAR-MISSING": "Nobody confirmed that year's holidays yet: `duly conduct calendars`",
    "ENGINE-FACT-MISSING": "A fact that a rule needs was not known",
    "ENGINE-PACK-MISSING": "The rules of a place or a named pack are not installed",
    "ENGINE-RETENTION-CONFLICT": "One rule keeps the data longer than another allows: a person decides",
    "ENGINE-NO-COMMON-WINDOW": "No minute in 15 days at which every rule allows contact",
    "zone-unknown": "The person's time zone was not known, so neither were the contact hours",
}
OUTCOMES = {
    "account.bucket_changed": "Moved to another bucket",
    "account.cured": "Arrears ended, loan current again",
    "account.paid_off": "Paid off",
    "account.delinquent": "Reported as delinquent",
    "account.charge_off_recommended": "Charge-off recommended",
    "promise.made": "Promise made",
    "promise.kept": "Promise kept",
    "promise.broken": "Promise broken",
    "deferral.requested": "Deferral requested",
    "deferral.granted": "Deferral granted",
    "deferral.declined": "Deferral declined",
    "deferral.ended": "Deferral ended",
    "dispute.raised": "Dispute raised",
    "dispute.resolved": "Dispute resolved",
    "hardship.flagged": "Hardship flagged",
    "outcome.retracted": "An earlier outcome taken back",
}
FAMILIES = {
    "hold:": "On hold",
    "paused:": "Sending was paused",
    "number:": "The number could not be used",
    "route:": "No route leads to that country",
    "ENGINE-FACT-MISSING:": "A fact that a rule needs was not known",
    "pack-missing:": "The rules of a place or a named pack are not installed",
}
# What follows these is a name, which is written as it stands.
NAMED = {"paused:template:": "This text was stopped until staff let it go on"}
# Rules of packs have ids of their own; these parts say what kind of rule it is.
KINDS = (
    (("window", "hours", "time"), "Outside the hours in which contact is allowed"),
    (("holiday",), "A holiday on which contact is not wanted"),
    (("week", "7in7"), "The person had been contacted often enough within a week"),
    (("day",), "The person had been contacted often enough that day"),
    (("cap", "cooldown"), "The person had been contacted often enough"),
)


def meaning(rule: str, stated: Mapping[str, str]) -> str:
    """What a rule means: as the run states it, as the gate words it, or by what its id tells."""
    known = stated.get(rule) or GATE_RULES.get(rule)
    if known:
        return known
    for prefix, words in NAMED.items():
        if rule.startswith(prefix):
            return f"{words}: {rule.removeprefix(prefix)}"
    for prefix, words in FAMILIES.items():
        if rule.startswith(prefix):
            return f"{words}: {rule.removeprefix(prefix).replace('_', ' ').replace('-', ' ')}"
    return _by_kind(rule.lower())


def _by_kind(rule: str) -> str:
    for parts, words in KINDS:
        if any(part in rule for part in parts):
            return words
    return "A rule of the conduct packs"
