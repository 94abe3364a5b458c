"""Fixtures of the integration tests."""

from tests.integration.databases import database, other_database, served_database, server_of
from tests.integration.metrics_servers import prometheus_with, recorded_prometheus, victoria_metrics
from tests.integration.object_stores import object_store
from tests.integration.small_disk import small_disk
from tests.integration.spark_cluster import spark, spark_url
from tests.integration.upstream import home, upstream
from tests.native import client

__all__ = [
    "client",
    "database",
    "home",
    "object_store",
    "other_database",
    "prometheus_with",
    "recorded_prometheus",
    "served_database",
    "server_of",
    "small_disk",
    "spark",
    "spark_url",
    "upstream",
    "victoria_metrics",
]
