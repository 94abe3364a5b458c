"""The existing API, `/metroculus/v2`. Imports `domain`, `ledger`, `present` and what the faces share."""
