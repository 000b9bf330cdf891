"""A prototypical network and MCL-OKD on CIFAR-FS, on two CPU cores.

    python docs/results/cifar-fs/compare.py DATA RUNS          trains what is missing
    python docs/results/cifar-fs/compare.py DATA RUNS --table  only writes results.md and results.json

DATA is what ``peerdistill fewshot cifar-fs --root`` takes. A run that was stopped goes on where it was.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fewshot_study import Cell, Study, main  # noqa: E402 (a file beside this folder)

EPISODES = 4000

STUDY = Study(
    data="cifar-fs",
    folder=HERE,
    # 180 images an episode, where the recipe's 15 queries a class make 480: more steps in the same time.
    recipe=f"--queries 5 --schedule.every {EPISODES // 5} --memory_format channels_last --log_every 50",
    episodes=EPISODES,
    cells=(
        Cell("baseline", "one network", "--method baseline --peers 1"),
        Cell("MCL-OKD", "branch", "--method mcl-okd --contrast.negatives shared --sharing branch"),
    ),
    seeds=(0, 1),
)

if __name__ == "__main__":
    main(STUDY, __doc__)
