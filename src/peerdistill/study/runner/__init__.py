"""Trains the cells of a study: what is missing, in child processes, and the record of what they measured."""
