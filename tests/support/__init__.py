"""What several test folders build: small data sets, a silent console, options of short runs, command lines."""
