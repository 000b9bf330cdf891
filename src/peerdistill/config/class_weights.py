"""Class weights in a file: YAML with a line ``class: weight`` for every class, or CSV with these two columns."""

from pathlib import Path

from peerdistill.config.yaml_file import read_texts
from peerdistill.csv_files import read_rows
from peerdistill.errors import UserError, shortened

# The weights become a part of the configuration, whose file must stay readable.
_LARGEST_FILE = 100 * 1024
_COLUMNS = ("class", "weight")


def read_class_weights(file: Path) -> dict[str, float]:
    """Return the weight of each class that a file names.

    Args:
        file: A CSV file if its name ends in ``.csv``, otherwise YAML.

    Raises:
        UserError: The file does not exist or is too large, does not hold one number per class, or names a class twice.
    """
    if not file.is_file():
        raise UserError(
            f"class_weights must be none, balanced or a YAML or CSV file, and '{file}' does not exist or is not a file"
        )
    if file.stat().st_size > _LARGEST_FILE:
        raise UserError(f"'{file}' is too large for class weights: more than {_LARGEST_FILE // 1024} KiB")
    texts = _of_csv(file) if file.suffix.lower() == ".csv" else read_texts(file, "class weights as 'class: weight'")
    return {name: _number(text, f"the weight of class '{name}' in '{file}'") for name, text in texts.items()}


def _of_csv(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for where, values in read_rows(file, _COLUMNS):
        name, weight = (values[column] for column in _COLUMNS)
        if name in found:
            raise UserError(f"{where} has a second weight of class '{name}'")
        found[name] = weight
    return found


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{what} must be a number, found {shortened(text) or 'nothing'}") from None
