import os
from pathlib import Path

import pytest
import torch

from peerdistill.study import machine


def test_the_machine_says_what_times_depend_on():
    told = machine.describe_machine()
    assert (told["cores"], told["threads"]) == (os.cpu_count(), torch.get_num_threads())
    assert told["processor"]
    assert set(told["versions"]) == {"peerdistill", "torch", "onnxruntime"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512_vnni avx_vnni sse2", ["avx512_vnni", "avx_vnni"]),
        ("Features\t: fp asimd asimddp i8mm", ["asimddp", "i8mm"]),
        ("flags\t\t: fpu avx2", []),
        ("bogomips\t: 48.00", None),
    ],
)
def test_instructions_for_int8_are_read_of_the_first_core(flags, expected, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A: fast one\n{flags}\n\nprocessor\t: 1\nflags\t\t: amx_int8\n")
    monkeypatch.setattr(machine, "Path", lambda name: {"/proc/cpuinfo": file}.get(name, Path(name)))
    told = machine.describe_machine()
    assert told["processor"] == "A: fast one"
    assert told["int8_instructions"] == expected


def test_a_system_without_cpuinfo_leaves_the_instructions_open(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / "absent")
    assert machine.describe_machine()["int8_instructions"] is None
