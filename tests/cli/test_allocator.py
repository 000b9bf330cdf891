"""Effect of the setting on the memory of a process. It cannot be reverted, so every case needs a new process."""

import subprocess
import sys

import pytest

from peerdistill.cli.allocator import keep_freed_memory

# Fills 64 MiB ten times, and counts how often the system had to find a page for it.
FILL = """
import resource, sys
from peerdistill.cli.allocator import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("unknown")

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fill():
    bytearray(b"x") * 2**26

fill()
before = faults()
for _ in range(10):
    fill()
print(faults() - before)
"""


def faults(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", FILL, way], capture_output=True, text=True, check=False)
    if "unknown" in done.stderr:
        pytest.skip("this C library has no such setting")
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
def test_freed_memory_is_reused_without_page_faults():
    assert faults("kept") < 0.01 * faults("given back")


def test_settings_of_the_user_are_kept(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    assert keep_freed_memory() is False


def test_other_systems_are_not_changed(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
