"""Faults: killed processes, stopped clocks, lost answers, an absent Redis."""
