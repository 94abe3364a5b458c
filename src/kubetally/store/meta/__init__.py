"""Accounts, coverage, leases and checksums in SQLite, MariaDB or PostgreSQL. Imports `domain`, `ledger.ports`."""
