"""Rows and assets of collected days in Delta tables, on disk or object storage. Imports `domain`, `ledger.ports`."""
