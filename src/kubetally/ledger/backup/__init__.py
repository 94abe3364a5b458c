"""Backing up database and lake, verifying a backup, restoring one. Imports `domain`, `ledger.ports`, `collect`."""
