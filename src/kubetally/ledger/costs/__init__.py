"""What clusters cost: live answers joined with stored days, and the cache. Imports `domain`, `ledger.ports`, `stores`,
`accounts`."""
