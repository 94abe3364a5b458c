"""Fixtures of the integration tests."""

from tests.integration.databases import database, served_database, server_of

__all__ = ["database", "served_database", "server_of"]
