"""What is asked: dimensions to group by, and filters with their text, negation and meaning. Imports `domain` only."""
