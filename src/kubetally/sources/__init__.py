"""Readers of what others measure: each turns a foreign answer into the ledger's own terms, at the edge."""
