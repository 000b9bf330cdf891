import pytest

from peerdistill import methods as catalogue


def test_methods_are_listed_with_their_cards(peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    said = peerdistill("methods").stdout
    for name, card in catalogue.METHODS.items():
        assert name in said
        for fact in (card.loss, card.paper, ", ".join(card.sharings), card.trains, card.deployed):
            assert fact in said
    assert "docs/performance.md" in said


@pytest.mark.parametrize("name", catalogue.names())
def test_a_method_is_shown_with_every_option(name, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    said = peerdistill("methods", name).stdout
    for option in catalogue.options_of(name):
        assert f"--{option.name}" in said
    card = catalogue.find(name)
    for fact in (card.trains, card.ensemble, card.deployed, card.differs):
        assert fact in said


def test_methods_shows_options_with_their_defaults_and_meanings(peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = " ".join(peerdistill("methods", "kdcl").stdout.split())
    assert "--target min-logit Target of each sample" in said
    assert "--distillation 1.0 Weight of" in said


def test_methods_shows_the_options_of_a_group(peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = peerdistill("methods", "mcl-okd").stdout
    assert "--contrast.count 16384" in said
    assert "Number of negatives (S) per anchor or per batch, or length of the queue." in said
