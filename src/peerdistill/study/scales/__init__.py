"""Scales of the package, one YAML file each: named reductions of studies."""
