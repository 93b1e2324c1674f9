"""Where things are on the machine that runs the tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = (
    ROOT.parent / "shared"
)  # the real loans; not part of the repository, tests of it skip without
MOBILE_LOANS = SHARED / "data" / "mobile_loans.ndjson.gz"
STORES = ROOT / ".pytest_cache" / "stores"  # kept between sessions: the next one starts at once
