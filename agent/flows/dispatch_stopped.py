"""Which ways to a person are closed because the text that would go there is stopped."""

from collections.abc import Set as AbstractSet

from agent.domain.ladder import Stage
from agent.domain.message import text_sent
from agent.flows.dispatch_conduct import Conduct, address_of
from agent.flows.dispatch_texts import setting_of
from agent.flows.lane import Lane
from agent.store.dispatch import PersonRow, PointRow


def mark_stopped(
    points: tuple[PointRow, ...],
    stopped: AbstractSet[str],
    stage: Stage,
    person: PersonRow,
    lane: Lane,
    conduct: Conduct,
) -> tuple[PointRow, ...]:
    """The points of a person, each told which stopped text it would get. Asked while some text is stopped."""
    if not any(f"/{stage.message}@" in text for text in stopped):
        return points
    texts = [_text(row, stage, person, lane, conduct) for row in points]
    return tuple(
        row._replace(point=row.point._replace(stopped_text=text)) if text in stopped else row
        for row, text in zip(points, texts, strict=True)
    )


def _text(
    row: PointRow, stage: Stage, person: PersonRow, lane: Lane, conduct: Conduct
) -> str | None:
    """The name of the text that would go there, by what it is chosen by when it is written."""
    channel = row.point.channel
    if channel not in stage.channels or stage.message is None:
        return None
    opened = address_of(conduct, row, person, lane)
    if opened is None:
        return None
    setting = setting_of(stage, channel, opened[1], lane, person.region, first=False)
    return text_sent(lane.texts, stage.message, channel, person.locale, setting.country)
