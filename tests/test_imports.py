"""What the command line needs before it trains is known without PyTorch, which takes seconds to import."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "lightning_fabric", "sklearn")
WITHOUT = {
    "names of backbones": "from peerdistill import backbones; backbones.names()",
    "terms": "from peerdistill import terms; terms.__name__",
    "methods": "from peerdistill import methods; methods.find('mcl-okd')",
    "the configuration of a run": "from peerdistill.config import parse; parse(['digits'])[0].check()",
    "a run's folder": "from peerdistill.runs import Run; Run('.').exists",
    "options of the contrast": "from peerdistill.contrast import ContrastOptions; ContrastOptions().check()",
    "options of episodes": "from peerdistill.fewshot.config import EpisodeConfig; EpisodeConfig().check()",
    "options of the data": "from peerdistill.data import DataConfig; DataConfig('digits').check()",
    "export formats": "from peerdistill.deploy import formats; formats.find('int8')",
    "pictures": "from peerdistill.data import fit, open_picture",
}

# A fork each: what one program imports, the next one does not find.
PROBE = """
import json, os, sys
for name, program in json.loads(sys.argv[1]).items():
    child = os.fork()
    if child == 0:
        exec(program)
        print(json.dumps([name, [module for module in json.loads(sys.argv[2]) if module in sys.modules]]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    words = [sys.executable, "-c", PROBE, json.dumps(WITHOUT), json.dumps(HEAVY)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", WITHOUT)
def test_is_known_without_pytorch(name, imported):
    assert imported[name] == []
