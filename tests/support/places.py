"""Where things are on the machine that runs the tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# the real loans; not part of the repository, tests of it skip without
SHARED = ROOT.parent / "shared"
STORES = ROOT / ".pytest_cache" / "stores"  # kept between sessions: the next one starts at once
