"""Prometheus and what speaks its language: Thanos, Mimir, VictoriaMetrics."""
