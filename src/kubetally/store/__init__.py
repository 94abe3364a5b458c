"""What Kubetally keeps: so far the metadata, in SQL."""
