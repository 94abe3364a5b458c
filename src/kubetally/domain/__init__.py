"""The accounting: pure, exact, standard library only."""
