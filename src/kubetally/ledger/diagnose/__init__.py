"""What is wrong with a source, a Prometheus, the stores or a stored day. Imports `domain`, `ledger.ports`, `collect`,
`costs`."""
