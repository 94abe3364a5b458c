"""What operators ask: health, readiness, metrics. Imports `domain`, `ledger` and what the faces share."""
