"""Writing to the lake: one process at a time, in step with the database. Imports `domain`, `ledger.ports`."""
