"""What is wrong with a source, a Prometheus, the stores or a stored day. Imports `domain` and all of `ledger` but
`backup` and `sample`."""
