"""Savings, which only Kubecost recommends. Imports `domain` and what the sources share."""
