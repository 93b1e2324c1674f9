"""The schema as PostgreSQL itself writes it: `python -m tests.support.schema` prints it.

A change of a migration shows up as a change of `agent/store/schema.sql`, which a reviewer can read.
"""

import re
import subprocess
import sys

from agent.adapters.embedded_pg import program
from tests.support.places import ROOT
from tests.support.stores import SessionStores

SNAPSHOT = ROOT / "agent" / "store" / "schema.sql"
_HEAD = "-- Written by `make schema` from the migrations; do not edit.\n\n"
_NOISE = re.compile(
    r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE
)


def dump(url: str, *options: str) -> str:
    """A database as statements, without what differs between servers; its schema, unless asked for more."""
    asked = options or ("--schema-only",)
    command = [str(program("pg_dump")), *asked, "--no-owner", "--no-privileges", url]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return _HEAD + re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", written)).strip() + "\n"


def main() -> None:
    """Migrate an empty database and print its schema."""
    stores = SessionStores()
    try:
        sys.stdout.write(dump(stores.create_database()))
    finally:
        stores.close()


if __name__ == "__main__":
    main()
