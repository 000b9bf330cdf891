"""The few-shot comparisons of this folder: all methods with the same number of episodes, on two CPU cores.

    python docs/results/compare_fewshot.py STUDY DATA RUNS          trains missing runs and writes the tables
    python docs/results/compare_fewshot.py STUDY DATA RUNS --table  only writes STUDY/results.md and results.json

DATA is the folder for ``peerdistill fewshot --root``, RUNS a folder for the runs of this study. A run that was stopped
is resumed.
"""

import argparse
from pathlib import Path

from fewshot_study import Cell, Runs, Study
from fewshot_tables import write_tables

HERE = Path(__file__).parent
PROTOTYPICAL_NETWORK = "--method baseline --peers 1"
# With 16,384 negatives per anchor, the contrast would take most of a step on two cores.
MCL_OKD = "--method mcl-okd --contrast.negatives shared --sharing branch"
PAIR = (Cell("baseline", "one network", PROTOTYPICAL_NETWORK), Cell("MCL-OKD", "branch", MCL_OKD))

OMNIGLOT_EPISODES = 3000
# OKDDip's weight rises over 80 of 300 epochs; here over the same fraction of the epochs, of 100 episodes each.
RAMP = round(80 / 300 * OMNIGLOT_EPISODES / 100)

TABLE_5 = (
    Cell("baseline", "one network", PROTOTYPICAL_NETWORK, (98.55, 99.56, 95.11, 98.68)),
    Cell("MCL-OKD", "branch", MCL_OKD, (98.68, 99.67, 95.40, 98.75)),
    Cell("CL-ILR", "tree", "--method cl-ilr --sharing tree", (98.56, 99.63, 95.08, 98.67)),
    Cell("ONE", "branch", "--method one --sharing branch", (98.46, 99.65, 94.85, 98.68)),
    Cell("OKDDip", "branch", f"--method okddip --sharing branch --ramp {RAMP}", (98.55, 99.66, 95.16, 98.68)),
    Cell("RKD-D", "one student", "--method rkd-d", (98.58, 99.65, 95.45, 98.72), needs_teacher=True),
    Cell("RKD-DA", "one student", "--method rkd-da", (98.64, 99.64, 95.52, 98.67), needs_teacher=True),
    Cell("DML", "branch", "--method dml --sharing branch"),
)

STUDIES = {
    "table5-omniglot": Study(data="omniglot", episodes=OMNIGLOT_EPISODES, cells=TABLE_5, seeds=(0, 1)),
    # 180 images per episode instead of 480 with the 15 queries of the recipe: more steps in the same time.
    "cifar-fs": Study(data="cifar-fs", options="--queries 5", episodes=4000, cells=PAIR, seeds=(0, 1)),
    # 120 images per episode instead of 480 with the 30 classes and 15 queries of the recipe.
    "miniimagenet": Study(data="miniimagenet", options="--ways 20 --queries 5", episodes=2000, cells=PAIR, seeds=(0,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    study = STUDIES[options.study]
    runs = Runs(study, options.runs)
    if not options.table:
        for cell, seed in study.planned():
            runs.train(cell, seed, options.data)
    write_tables(runs, HERE / options.study)


if __name__ == "__main__":
    main()
