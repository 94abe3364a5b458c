"""Backing up database and lake, verifying a backup, restoring one. Imports `domain` and all of `ledger` but
`sample`."""
