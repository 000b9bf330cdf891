"""A folder that classifies pictures in a browser: the files of the page, and the runtime that they need.

Importing this package imports neither PyTorch nor NumPy.
"""
