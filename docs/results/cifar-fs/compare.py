"""A prototypical network and MCL-OKD on CIFAR-FS, on two CPU cores.

    python docs/results/cifar-fs/compare.py DATA RUNS          trains what is missing
    python docs/results/cifar-fs/compare.py DATA RUNS --table  only writes results.md and results.json

DATA is what ``peerdistill fewshot cifar-fs --root`` takes. A run that was stopped goes on where it was.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fewshot_study import MCL_OKD, PROTOTYPICAL_NETWORK, Cell, Study, main  # noqa: E402 (a file beside this folder)

STUDY = Study(
    data="cifar-fs",
    folder=HERE,
    # 180 images an episode, where the recipe's 15 queries a class make 480: more steps in the same time.
    options="--queries 5",
    episodes=4000,
    cells=(Cell("baseline", "one network", PROTOTYPICAL_NETWORK), Cell("MCL-OKD", "branch", MCL_OKD)),
    seeds=(0, 1),
)

if __name__ == "__main__":
    main(STUDY, __doc__)
