"""Adding, changing and removing accounts, and finding two of one cluster. Imports `domain`, `ledger.ports`, `writing`,
`stores`."""
