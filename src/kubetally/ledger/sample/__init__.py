"""A made-up fleet for benchmarks, demos and tests of scale. Imports `domain` and all of `ledger` but `backup`."""
