"""What Kubetally does: it reads clusters, books what they cost and answers for it. Imports `domain`."""
