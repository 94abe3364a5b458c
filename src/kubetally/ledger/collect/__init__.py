"""Collecting: which days are due, reading them, storing them. Imports `domain`, `ledger.ports`, `writing`, `stores`,
`accounts`, `costs`."""
