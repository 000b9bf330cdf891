"""The methods of the paper's Table 5 on Omniglot, all with one budget, on two CPU cores.

    python docs/results/table5-omniglot/compare.py DATA RUNS          trains what is missing
    python docs/results/table5-omniglot/compare.py DATA RUNS --table  only writes results.md and results.json

DATA is what ``peerdistill fewshot omniglot --root`` takes. A run that was stopped goes on where it was.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fewshot_study import MCL_OKD, PROTOTYPICAL_NETWORK, Cell, Study, main  # noqa: E402 (a file beside this folder)

EPISODES = 3000
# OKDDip's weight rises over 80 of 300 epochs; here over the same share of the run's, of 100 episodes each.
RAMP = round(80 / 300 * EPISODES / 100)

STUDY = Study(
    data="omniglot",
    folder=HERE,
    episodes=EPISODES,
    cells=(
        Cell("baseline", "one network", PROTOTYPICAL_NETWORK, (98.55, 99.56, 95.11, 98.68)),
        Cell("MCL-OKD", "branch", MCL_OKD, (98.68, 99.67, 95.40, 98.75)),
        Cell("CL-ILR", "tree", "--method cl-ilr --sharing tree", (98.56, 99.63, 95.08, 98.67)),
        Cell("ONE", "branch", "--method one --sharing branch", (98.46, 99.65, 94.85, 98.68)),
        Cell("OKDDip", "branch", f"--method okddip --sharing branch --ramp {RAMP}", (98.55, 99.66, 95.16, 98.68)),
        Cell("RKD-D", "one student", "--method rkd-d", (98.58, 99.65, 95.45, 98.72), is_taught=True),
        Cell("RKD-DA", "one student", "--method rkd-da", (98.64, 99.64, 95.52, 98.67), is_taught=True),
        Cell("DML", "branch", "--method dml --sharing branch"),
    ),
    seeds=(0, 1),
)

if __name__ == "__main__":
    main(STUDY, __doc__)
