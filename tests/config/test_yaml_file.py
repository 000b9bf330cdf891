import tracemalloc

import pytest

from peerdistill.config.yaml_file import read_options
from peerdistill.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a configuration of these bytes."""

    def read(content: bytes) -> dict:
        (tmp_path / "a.yaml").write_bytes(content)
        return read_options(tmp_path / "a.yaml")

    return read


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr: 1e-3\nepochs: 3\nflip: false\ntest: null\n", {"lr": 1e-3, "epochs": 3, "flip": False, "test": None}),
        ("\ufefflr: .5\r\nsharing: [1, 2]\r\n", {"lr": 0.5, "sharing": [1, 2]}),
        ("optimizer: {momentum: -0.5}", {"optimizer": {"momentum": -0.5}}),
        ("a: 1:30\nb: 2024-99-99\nc: 010\nd: =\n", {"a": "1:30", "b": "2024-99-99", "c": "010", "d": "="}),
    ],
)
def test_options_are_read(read, text, values):
    assert read(text.encode()) == values


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"epochs: 1\0", "unacceptable character"),
        (b"epochs: " + b"9" * 5000, "line 1 .* a number of 5000 digits"),
        (b"a: 1\nlr: !!timestamp abc", "line 2 .* tag timestamp is not allowed"),
        (b"epochs: !!int abc", "abc is not a value of type int"),
        (b"flip: !!bool maybe", "maybe is not a value of type bool"),
        (b"lr: !!python/object/apply:os.system [ls]", "tag python/object/apply:os.system is not allowed"),
        (b"epochs: 1\n---\nepochs: 2\n", "line 2 .* another document"),
        (b"epochs: 1\nlr: 1\nepochs: 2\n", "line 3 .* 'epochs' is defined twice"),
        (b"optimizer: &a {name: sgd, self: *a}", r"alias \(\*a\) is not allowed"),
        (b"epochs: " + b"[" * 10000, "more than 12 levels"),
        (b"? [a]\n: 1", "a name must be one word"),
        ("lr: ä".encode("latin-1"), "not a UTF-8 text file"),
        (b"#" * 300_000, "more than 256 KiB"),
        (b"- epochs", "found a list"),
    ],
)
def test_what_is_no_configuration_is_told_in_one_line(read, content, told):
    with pytest.raises(UserError, match=rf"a\.yaml.*{told}") as caught:
        read(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_bomb_of_aliases_costs_nothing(read):
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(9))}}}" for n in range(1, 12)
    ]
    tracemalloc.start()
    with pytest.raises(UserError, match="alias"):
        read("\n".join(lines).encode())
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    for path, told in ((tmp_path, "is a folder"), ("/dev/zero", "not a regular file"), (tmp_path / "b", "there is no")):
        with pytest.raises(UserError, match=told):
            read_options(type(tmp_path)(path))
