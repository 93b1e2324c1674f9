"""Command line and processes: parse, call a flow, answer."""
