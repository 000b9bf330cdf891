"""Names of ``peerdistill.terms`` are those that its files define."""

import sys
from pathlib import Path

import pytest

from peerdistill import terms


def test_public_names_of_all_files_can_be_imported():
    assert terms.MultiViewContrast is sys.modules["peerdistill.terms.multi_view_contrast"].MultiViewContrast
    assert {"Method", "Weighted", "Ramp", "angle_loss", "softened"} <= set(dir(terms))
    assert terms.__all__ == dir(terms)
    assert not {"Any", "pkgutil", "import_module"} & set(dir(terms))
    assert {path.stem for path in Path(terms.__file__).parent.glob("*.py")} >= {"method", "gate"}


def test_imports_of_the_files_are_not_exported():
    for name in ("Tensor", "nn", "CohortOutput", "UserError", "_SoftContrast"):
        with pytest.raises(AttributeError, match=f"module 'peerdistill.terms' has no attribute '{name}'"):
            getattr(terms, name)


def test_a_term_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "new_term.py").write_text("class NewTerm: ...\n")
    monkeypatch.setattr(terms, "__path__", [*terms.__path__, str(tmp_path)])
    assert terms.NewTerm.__name__ == "NewTerm"
    sys.modules.pop("peerdistill.terms.new_term")
    monkeypatch.delitem(vars(terms), "NewTerm")
    monkeypatch.delitem(vars(terms), "new_term")
