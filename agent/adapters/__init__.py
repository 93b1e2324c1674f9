"""What the process talks to besides its database: queue, ledger, embedded stores."""
