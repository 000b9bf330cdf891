"""A prototypical network and MCL-OKD on a part of miniImageNet's pictures, on two CPU cores.

    python docs/results/miniimagenet/compare.py DATA RUNS          trains what is missing
    python docs/results/miniimagenet/compare.py DATA RUNS --table  only writes results.md and results.json

DATA is what ``peerdistill fewshot miniimagenet --root`` takes. A run that was stopped goes on where it was.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fewshot_study import MCL_OKD, PROTOTYPICAL_NETWORK, Cell, Study, main  # noqa: E402 (a file beside this folder)

STUDY = Study(
    data="miniimagenet",
    folder=HERE,
    # 120 images an episode, where the recipe's 30 classes with 15 queries are 480.
    options="--ways 20 --queries 5",
    episodes=2000,
    cells=(Cell("baseline", "one network", PROTOTYPICAL_NETWORK), Cell("MCL-OKD", "branch", MCL_OKD)),
    seeds=(0,),
)

if __name__ == "__main__":
    main(STUDY, __doc__)
