"""The decision core: pure, standard library only."""
