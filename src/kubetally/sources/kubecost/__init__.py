"""What only Kubecost answers."""
