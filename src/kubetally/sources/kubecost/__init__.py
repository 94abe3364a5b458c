"""What only Kubecost answers. Imports `domain` and what the sources share."""
