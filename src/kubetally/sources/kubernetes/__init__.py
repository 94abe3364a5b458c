"""Where the cost sources of a Kubernetes cluster are, and how they are read through its API server. Imports `domain`
and what the sources share."""
