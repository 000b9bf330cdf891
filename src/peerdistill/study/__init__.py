"""Studies of runs: the demonstration and its figures."""
