"""Large numbers as people read them."""

_PREFIXES = ("", " k", " M", " G", " T", " P", " E")


def in_units(number: int | float) -> str:
    """Return a number with three digits and the prefix of a unit.

    Example:
        >>> in_units(69_130_000), in_units(472), in_units(1.2e13)
        ('69.1 M', '472', '12 T')
    """
    power = 0
    while number >= 999.5 and power < len(_PREFIXES) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g}{_PREFIXES[power]}"
