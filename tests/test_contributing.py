"""The table of rooms in CONTRIBUTING.md matches the package and the layers of its import contract."""

import re
import tomllib

from support.pages import ROOT


def test_the_table_of_rooms_has_every_room_in_its_layer():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = {
        name.removesuffix("/").removesuffix(".py"): int(layer)
        for layer, name in re.findall(r"^\| (\d+) \| `(\S+)` \|", text, flags=re.MULTILINE)
    }
    rooms = [entry.stem for entry in (ROOT / "src/peerdistill").iterdir() if entry.suffix == ".py" or entry.is_dir()]
    assert sorted(table) == sorted(set(rooms) - {"__init__", "__pycache__"})

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert table == {name.strip(): place for place, names in enumerate(layers, 1) for name in names.split("|")}
