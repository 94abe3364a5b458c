"""Health, readiness and metrics for operators. Imports `domain`, `ledger` and what the faces share."""
