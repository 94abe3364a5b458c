"""Renders results for people and clients: text, tables, bodies. Imports `domain`; no client, table or web framework."""
