"""What `duly doctor` looks at of the credit ledger: the secret, the address, the file."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from agent import config
from agent.adapters.ledger import CONNECT_SECONDS, BadSecret, read_secrets
from agent.config import Settings
from agent.entry.findings import Finding, ok, problem, warning


async def examine_ledger(settings: Settings) -> list[Finding]:
    """Whether outcomes can be posted or written where the settings say; nothing is posted."""
    findings = list(_secret(settings))
    if settings.ledger_url:
        findings.append(await _address(settings.ledger_url))
    if settings.ledger_file:
        findings.append(_file(settings.ledger_file.expanduser()))
    return findings


def _secret(settings: Settings) -> Iterator[Finding]:
    if settings.ledger_url is None:
        return
    secret = config.revealed(settings.ledger_secret)
    do = "set DULY_LEDGER_SECRET to the whsec_… that the ledger verifies with"
    if secret is None:
        yield problem("ledger", "outcomes would be posted unsigned", do)
        return
    try:
        read_secrets(secret)
    except BadSecret as wrong:
        yield problem("ledger", str(wrong), do)


async def _address(url: str) -> Finding:
    """A connection is enough: what it answers to an outcome, only an outcome would tell."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    where = f"{parts.hostname}:{port}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
    except (OSError, TimeoutError) as wrong:
        do = "start it, or correct DULY_LEDGER_URL; outcomes wait for it, none is lost"
        why = f"{wrong}" or "no answer"
        return warning("ledger address", f"cannot connect to {where}: {why}", do)
    return ok("ledger address", f"{where} takes connections")


def _file(path: Path) -> Finding:
    place = path if path.exists() else path.parent
    if place.is_dir() == path.exists() or not os.access(place, os.W_OK):
        do = "name a file in a folder that exists and that Duly may write to"
        return problem("ledger file", f"{path} cannot be written", do)
    return ok("ledger file", f"{path} can be written")
