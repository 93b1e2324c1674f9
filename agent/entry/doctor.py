"""What `duly doctor` looks at. Each check returns findings; each finding says what to do."""

import os
import tomllib
import zoneinfo
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import asyncpg
import redis.asyncio as redis

import schedules
from agent import config
from agent.adapters.embedded import StoreFailed, embedded_valkey, open_database
from agent.clock import Clock
from agent.config import BadSettings, Settings
from agent.domain.calendar import BusinessCalendar, compile_calendar
from agent.domain.conduct import Pack, PackProblem
from agent.domain.ladder_compile import Ladder, compile_ladder
from agent.entry.doctor_ledger import examine_ledger
from agent.entry.doctor_providers import examine_providers
from agent.entry.doctor_texts import examine_texts
from agent.entry.findings import Finding, Level, ok, problem, warning
from agent.flows.calendars import calendars_in_force, stored_versions, take_over
from agent.flows.filtered import stopped_texts
from agent.flows.portfolios import load_portfolios
from agent.flows.registered_texts import missing
from agent.flows.rules import read_pack
from agent.store import sql
from agent.store.connect import Unreachable, open_connection
from agent.store.keyring import Keyring, Unreadable
from agent.store.migrate import HistoryDiffers, pending

OLDEST_POSTGRES = 160000
LARGEST_SKEW = timedelta(seconds=2)
OLDEST_ZONES_YEARS = 1
NEXT_YEAR_SOON = timedelta(days=60)
_PROBE = "duly:doctor"
_LOOPBACK = ("http://127.", "http://localhost", "http://[::1]")


async def examine(clock: Clock) -> list[Finding]:
    """Every finding, in the order in which one would put things right."""
    findings = list(_variables())
    try:
        settings = config.load()
    except BadSettings as wrong:
        return [*findings, problem("configuration", str(wrong), "put the setting right")]
    findings += _configuration(settings)
    findings += await examine_ledger(settings)
    findings += await _database(settings, clock)
    findings += await _doorbell(settings)
    findings += await examine_providers(settings, clock.now().date())
    findings += [_zones(clock.now().date()), *_shipped(clock.now().date())]
    return findings


def _variables() -> Iterator[Finding]:
    for name in config.unknown_variables(os.environ):
        do = "correct its name or unset it; `duly doctor --settings` lists the settings"
        yield warning("configuration", f"{name} is set, but there is no such setting", do)


def _configuration(settings: Settings) -> Iterator[Finding]:
    stores = "embedded stores" if settings.database_url is None else "a database of your own"
    yield ok("configuration", f"read; {stores}, data in {settings.data_dir.expanduser().resolve()}")
    if settings.database_url and settings.public_url.startswith(_LOOPBACK):
        do = "set DULY_PUBLIC_URL to the address that providers and borrowers reach"
        yield warning("public address", f"{settings.public_url} cannot be reached from outside", do)


async def _database(settings: Settings, clock: Clock) -> list[Finding]:
    try:
        async with open_database(
            settings.data_dir, config.revealed(settings.database_url)
        ) as address:
            conn = await open_connection(address)
            try:
                return [finding async for finding in _connected(conn, settings, clock)]
            finally:
                await conn.close()
    except (StoreFailed, Unreachable) as wrong:
        return [problem("database", str(wrong), "start it, or correct its address")]


async def _connected(
    conn: asyncpg.Connection, settings: Settings, clock: Clock
) -> AsyncIterator[Finding]:
    before = clock.now()
    row = await sql.fetch_row(conn, "doctor_database")
    after = clock.now()
    assert row is not None
    yield _version(row["version"])
    yield await _writable(conn, read_only=row["read_only"])
    yield _skew(row["at"], before + (after - before) / 2)
    schema = await _schema(conn)
    yield schema
    if schema.level is Level.OK:
        await take_over(conn)
        for finding in await _unregistered(conn, clock.now()):
            yield finding
        for finding in (*await _stopped(conn), *await examine_texts(conn, clock.now())):
            yield finding
    yield await _key(conn, settings, has_tables=schema.level is Level.OK)


async def _unregistered(conn: asyncpg.Connection, now: datetime) -> list[Finding]:
    """Texts that a country's gateways must know, and that nobody registered: their messages are held."""
    found = []
    for portfolio in (await load_portfolios(conn, now)).values():
        lacking = await missing(conn, portfolio)
        if lacking:
            first = lacking[0]
            says = f"{len(lacking)} texts have no id for {first.country}: {first.locale}/{first.message}, …"
            do = (
                f"duly template register {first.message} --portfolio {portfolio.name} --country"
                f" {first.country} --locale {first.locale} --id … --reason …; until then they are held"
            )
            found.append(warning(f"registered texts {portfolio.name}", says, do))
    return found


async def _stopped(conn: asyncpg.Connection) -> list[Finding]:
    """Texts that do not go out: whatever would say them is held, and in the end is too late."""
    found = []
    for one in await stopped_texts(conn):
        there = f" --portfolio {one.portfolio}" if one.portfolio else ""
        act = f"duly resume template {one.text}{there} --reason …"
        do = f"duly template save better words, or {act}; until then it is held"
        says = f"since {one.since:%Y-%m-%d %H:%M}Z: {one.reason} ({one.by})"
        found.append(warning(f"stopped text {one.text}", says, do))
    return found


def _version(number: int) -> Finding:
    says = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < OLDEST_POSTGRES:
        return problem("database", f"{says} is too old", "use PostgreSQL 16 or newer")
    return ok("database", says)


async def _writable(conn: asyncpg.Connection, *, read_only: bool) -> Finding:
    if read_only:
        do = "point DULY_DATABASE_URL at the primary"
        return problem("database writes", "the database is read-only", do)
    try:
        async with conn.transaction():
            await sql.execute(conn, "doctor_write")
    except asyncpg.PostgresError as wrong:
        do = "grant this account the right to write, or free space"
        return problem("database writes", f"refused ({wrong.sqlstate})", do)
    return ok("database writes", "possible")


def _skew(theirs: datetime, ours: datetime) -> Finding:
    skew = theirs - ours
    says = f"this machine and the database differ by {abs(skew).total_seconds():.3f} s"
    if abs(skew) > LARGEST_SKEW:
        return problem("clock", says, "let NTP (chrony, systemd-timesyncd) set the clocks of both")
    return ok("clock", says)


async def _schema(conn: asyncpg.Connection) -> Finding:
    try:
        names = await pending(conn)
    except HistoryDiffers as wrong:
        return problem("schema", str(wrong), "run the release that fits the database")
    if names:
        return problem("schema", f"pending: {', '.join(names)}", "run `duly migrate`")
    return ok("schema", "up to date")


async def _key(conn: asyncpg.Connection, settings: Settings, *, has_tables: bool) -> Finding:
    check = "master key"
    try:
        keyring = Keyring(config.master_key(settings))
    except BadSettings as wrong:
        return problem(check, str(wrong), "give the key that this database was used with")
    path = config.key_path(settings)
    if settings.master_key is None and path.stat().st_mode & 0o077:
        return problem(check, f"others can read {path}", f"chmod 600 {path}")
    wrapped = await sql.fetch_value(conn, "doctor_wrapped_key") if has_tables else None
    if wrapped is None:
        return ok(check, "set; nobody's data is stored yet to try it on")
    try:
        keyring.person_key(wrapped)
    except Unreadable:
        do = "give the key that this database was used with; without it, personal data is lost"
        return problem(check, "it does not open the data stored here", do)
    return ok(check, "opens the data stored here")


async def _doorbell(settings: Settings) -> list[Finding]:
    try:
        if settings.redis_url is not None:
            return await _ring(settings.redis_url.get_secret_value())
        async with embedded_valkey(settings.data_dir) as address:
            return await _ring(address)
    except (StoreFailed, redis.RedisError, OSError, ValueError) as wrong:
        do = "start it, or correct DULY_REDIS_URL; until then only the sweep finds due work"
        return [problem("queue", f"{type(wrong).__name__}: {wrong}", do)]


async def _ring(address: str) -> list[Finding]:
    client = redis.Redis.from_url(address, decode_responses=True)
    try:
        about = await client.info("server")
        await client.set(_PROBE, "1", ex=10)
        await client.delete(_PROBE)
        policy = (await client.info("memory")).get("maxmemory_policy", "unknown")
    finally:
        await client.aclose()
    name = about.get("server_name", "redis")
    found = about.get("valkey_version") or about["redis_version"]
    if policy != "noeviction":
        do = "set maxmemory-policy noeviction: evicted jobs wait for the sweep"
        return [problem("queue", f"maxmemory-policy is {policy}", do)]
    return [ok("queue", f"{name} {found}, writable, {policy}")]


def _zones(today: date) -> Finding:
    """Python takes the system's zone files before those of the package `tzdata`."""
    release = _zone_release()
    says = f"zone data {release}"
    if int(release[:4]) < today.year - OLDEST_ZONES_YEARS:
        do = "upgrade the system's tzdata, or the Python package if there is none"
        return warning("time zones", f"{says} is old", do)
    return ok("time zones", says)


def _zone_release() -> str:
    for folder in zoneinfo.TZPATH:
        if (Path(folder) / "Etc" / "UTC").exists():
            for name, word in (("tzdata.zi", 2), ("+VERSION", 0)):
                file = Path(folder) / name
                if file.exists():
                    return file.read_text("utf-8").splitlines()[0].split()[word]
            return f"{version('tzdata')} or other (the system does not say)"
    return version("tzdata")


def _shipped(today: date) -> Iterator[Finding]:
    calendars, stored = calendars_in_force(), stored_versions()
    for name in schedules.calendar_names():
        calendar = compile_calendar(tomllib.loads(schedules.calendar_text(name)))
        yield _calendar(name, calendar if isinstance(calendar, str) else calendars[name], today)
    for name in sorted(stored.keys() - set(schedules.calendar_names())):
        yield _calendar(name, calendars[name], today)
    for name in schedules.ladder_names():
        yield _ladder(name, compile_ladder(tomllib.loads(schedules.ladder_text(name)), calendars))
    for name in schedules.conduct_names():
        yield _pack(name, read_pack(schedules.conduct_text(name), calendars), today)


def _calendar(name: str, calendar: BusinessCalendar | str, today: date) -> Finding:
    """This year, and the next one from 60 days before it begins: listed and confirmed, or a warning."""
    check = f"calendar {name}"
    if isinstance(calendar, str):
        return problem(check, calendar, "install Duly again")
    new_year = date(today.year + 1, 1, 1)
    asked = [today, *([new_year] if new_year - today <= NEXT_YEAR_SOON else [])]
    wrong = [why for day in asked if (why := _unknown_year(calendar, day))]
    if not wrong:
        return ok(check, f"covers {' and '.join(str(day.year) for day in asked)}")
    do = (
        "compare that year's holidays with the official publication, then `duly conduct calendars confirm"
        f" {name} --year …` (or `store FILE` with the right ones); until then rules that need them hold,"
        " ladders use what is listed"
    )
    return warning(check, "; ".join(wrong), do)


def _unknown_year(calendar: BusinessCalendar, day: date) -> str | None:
    if not calendar.is_covered(day):
        return f"{day.year} is missing: it knows holidays only until {calendar.covers[1]}"
    if not calendar.is_known(day):
        return f"{day.year} was computed or sampled, and nobody has confirmed it"
    return None


def _ladder(name: str, ladder: Ladder | tuple[object, ...]) -> Finding:
    if isinstance(ladder, Ladder):
        return ok(f"schedule {name}", f"{len(ladder.stages)} stages")
    return problem(f"schedule {name}", str(ladder[0]), "install Duly again")


def _pack(name: str, pack: Pack | tuple[PackProblem, ...], today: date) -> Finding:
    check = f"conduct {name}"
    if not isinstance(pack, Pack):
        first = pack[0]
        return problem(
            check, f"refused: {first.rule}: {first.what} ({first.fix})", "install Duly again"
        )
    count = len(pack.rules) + len(pack.states)
    if pack.effective_from is not None and today < pack.effective_from:
        return ok(check, f"{count} rules, in force from {pack.effective_from}")
    if not pack.in_force(today):
        return warning(check, f"ended on {pack.effective_to}", "use the pack that follows it")
    return ok(check, f"{count} rules, in force")
