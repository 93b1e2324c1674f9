"""`agent/store/schema.sql` is what the migrations make."""

from tests.support.schema import SNAPSHOT, dump


def test_the_snapshot_is_current(database_url: str) -> None:
    assert dump(database_url) == SNAPSHOT.read_text("utf-8"), "run `make schema` and commit it"
