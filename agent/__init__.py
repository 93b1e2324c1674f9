"""Duly: an asynchronous notification and collections agent."""
