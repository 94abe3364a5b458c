"""Backups: a dump of the database and the files of the lake in one tar. Imports `domain`, `ledger.ports`, `store`."""
