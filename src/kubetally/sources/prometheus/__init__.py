"""Prometheus and what speaks its language: Thanos, Mimir, VictoriaMetrics. Imports `domain`, `ledger.ports` and what
the sources share."""
