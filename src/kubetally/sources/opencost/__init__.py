"""OpenCost, and the dialect that Kubecost speaks too: its shapes, and what they mean. Imports `domain`, `ledger.ports`,
`kubecost` and what the sources share."""
