"""Studies of runs: the demonstration, the benchmark of deployed leaders, plots and timing."""
