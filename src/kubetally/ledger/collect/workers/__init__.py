"""Processes that read clusters for the collecting process. Imports `domain`, `ledger.ports`, `collect`, `accounts`."""
