"""What analyses have in common: what an analysis is, and the run that is analysed."""
