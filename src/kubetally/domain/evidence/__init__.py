"""Which hours of a day its answer gives evidence for, alone and beside the days around it. Imports `domain` only."""
