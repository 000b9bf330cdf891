import subprocess
import sys


def test_config_and_pictures_import_without_torch():
    program = """
import sys
from peerdistill.data import DataConfig, pictures
DataConfig("digits").check()
pictures.fit
sys.exit(any(name in sys.modules for name in ("torch", "torchvision", "lightning_fabric", "sklearn")))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
