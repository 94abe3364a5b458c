"""Adding, changing and removing accounts, and finding two of one cluster. Imports `domain` and `ledger.ports`."""
