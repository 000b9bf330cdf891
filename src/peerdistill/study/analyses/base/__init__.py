"""What analyses have in common: what an analysis is, the run that is analysed, pictures."""
