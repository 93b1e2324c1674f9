"""A process that uses the embedded stores of a folder until its standard input ends, or a signal."""

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

from agent.adapters.embedded import open_stores


async def main(folder: Path) -> None:
    async with open_stores(folder) as stores:
        conn = await asyncpg.connect(stores.database_url)
        started = await conn.fetchval("select pg_postmaster_start_time()::text")
        await conn.close()
        print(json.dumps({"url": stores.database_url, "started": started}), flush=True)  # noqa: T201
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
