"""The bar that shows how far a history has been played."""

from datetime import datetime
from typing import Any


class HistoryBar:
    """Shows how far the history has come, on a terminal; silent elsewhere."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.fields[day]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("events"),
            console=Console(stderr=True),
            transient=True,
            disable=quiet,
        )
        self._task = self._progress.add_task("replay", total=total, day="…")

    def __enter__(self) -> Any:
        self._progress.start()
        return self

    def __call__(self, done: int, at: datetime) -> None:
        self._progress.update(self._task, completed=done, day=at.date().isoformat())

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
