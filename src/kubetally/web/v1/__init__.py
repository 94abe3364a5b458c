"""`/api/v1`, the native API over the ledger. Imports domain, ledger, present and the shared parts of web."""
