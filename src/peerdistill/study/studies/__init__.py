"""Studies of the package, one YAML file each."""
