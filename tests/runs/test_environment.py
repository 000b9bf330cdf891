import os
import platform
from importlib import metadata
from pathlib import Path

import pytest
import torch

from peerdistill.runs.environment import describe

CPU = torch.device("cpu")


def test_a_result_depends_on_cores_threads_and_versions():
    found = describe(CPU)
    assert found["platform"].startswith(f"{platform.system()} {platform.machine()}")
    assert platform.release() not in found["platform"]
    assert (found["cores"], found["threads"], found["device"]) == (os.cpu_count(), torch.get_num_threads(), "cpu")
    assert found["processor"]
    assert found["accelerator"] is None
    assert found["packages"]["torch"] == metadata.version("torch")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512_vnni avx_vnni sse2", ["avx512_vnni", "avx_vnni"]),
        ("Features\t: fp asimd asimddp i8mm", ["asimddp", "i8mm"]),
        ("flags\t\t: fpu avx2", []),
        ("bogomips\t: 48.00", None),
    ],
)
def test_int8_instructions_are_those_of_the_first_core(flags, expected, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A: fast one\n{flags}\n\nprocessor\t: 1\nflags\t\t: amx_int8\n")
    found = describe(CPU, file)
    assert found["processor"].startswith("A: fast one, ")
    assert found["int8_instructions"] == expected


def test_int8_instructions_are_unknown_without_cpuinfo(tmp_path: Path):
    assert describe(CPU, tmp_path / "absent")["int8_instructions"] is None
