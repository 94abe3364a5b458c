"""Clients of cost sources: each turns foreign answers into the domain's terms. Imports `domain`, `ledger.ports`."""
