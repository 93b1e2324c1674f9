"""Ladders, conduct packs, calendars and reply grammars, as data."""
