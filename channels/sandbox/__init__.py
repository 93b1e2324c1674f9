"""A stand-in phone network: in one process (`channel`) or over HTTP (`server`, `client`)."""
