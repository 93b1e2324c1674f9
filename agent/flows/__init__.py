"""One story a file: load, decide, persist, hand on."""
