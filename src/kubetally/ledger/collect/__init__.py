"""Collecting: which days are due, reading them, writing them to the lake. Imports `domain`, `ledger.ports`,
`accounts`, `costs`."""
