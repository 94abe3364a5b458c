"""The page for a browser. Imports `domain`, `ledger`, `present` and what the faces share."""
