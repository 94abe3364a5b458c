"""The API of the design note, `/metroculus/v2`. Imports `domain`, `ledger`, `present` and what the faces share."""
