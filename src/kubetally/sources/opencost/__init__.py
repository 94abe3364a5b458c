"""OpenCost, and the dialect that Kubecost speaks too: its shapes, and what they mean."""
