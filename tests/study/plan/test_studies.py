"""The studies of the package: shared runs, published figures, and the options that were used before they were files."""

import shlex

import pytest

from peerdistill.config import parse
from peerdistill.study.paper import all_published, published
from peerdistill.study.plan import digest, load_study, scale_names, study_names

CIFAR = ["CIFAR-100"]


def compared(name: str, **only):
    """Return the rows of a study with one seed."""
    return [cell for cell in load_study(name, seeds=1, only=only).cells if cell.role == "method"]


@pytest.mark.parametrize("name", study_names())
@pytest.mark.parametrize("scale", scale_names())
def test_every_study_is_valid_at_every_scale(name, scale):
    study = load_study(name, scale=scale, seeds=1)
    assert study.title
    assert study.source
    cells = [cell for cell in study.cells if cell.role == "method"]
    assert len({str(cell.labels) for cell in cells}) == len(cells)
    for cell in study.cells:
        cell.resolved.training.check()
    for dataset in study.datasets:
        assert study.scale.statement(dataset).startswith(f"{scale}: ")


def test_table_3_needs_no_run_of_its_own():
    known = {cell.name for name in ("table1", "table2") for cell in compared(name, dataset=CIFAR)}
    ensembles = {cell.name for cell in compared("table3")}
    assert ensembles == known
    assert len(ensembles) == 36


def test_other_studies_of_branches_share_the_runs_of_table_2():
    known = {cell.name for cell in compared("table2", dataset=CIFAR)}
    assert {cell.name for cell in compared("section4.3")} < known
    assert {cell.name for cell in compared("figure2", peers=["4"])} < known
    assert len({cell.name for cell in compared("figure2")}) == 20


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_every_published_error_has_a_cell_and_every_cell_a_published_error(table):
    role = "ensemble" if table == 3 else "leader"
    cells = compared(f"table{table}")
    found = {published(table=table, role=role, **cell.labels) for cell in cells}
    assert None not in found
    assert found == {figure for figure in all_published() if figure.table == table}
    assert len(cells) == len(found)


def test_every_published_accuracy_has_a_cell():
    rows = {(cell.labels["dataset"], cell.labels["method"]) for cell in compared("table5")}
    assert {(figure.dataset, figure.method) for figure in all_published() if figure.table == 5} == rows


def test_the_teacher_of_table_4_is_one_of_its_rows():
    cells = load_study("table4", seeds=1).cells
    (row,) = [cell for cell in cells if cell.labels["method"] == "Teacher"]
    taught = [cell for cell in cells if cell.teacher is not None]
    assert [cell.labels["method"] for cell in taught] == ["KD", "CRD+KD", "OKDDip+KD", "MCL-OKD+KD"]
    assert {cell.teacher.name for cell in taught} == {row.name}
    assert cells.index(row) < cells.index(taught[0])


def test_cells_of_table_2_are_the_recipe_of_the_paper():
    """Section 4.1 and the supplement."""
    (cell,) = compared("table2", network=["VGG-16"], method=["MCL-OKD"])
    config = cell.config()
    training = config.training
    assert (training.epochs, training.batch_size, training.lr) == (300, 64, 0.05)
    assert (training.optimizer.momentum, training.optimizer.weight_decay) == (0.9, 5e-4)
    assert (config.options["beta"], config.options["temperature"], config.cohort.peers) == (0.025, 3.0, 4)
    assert (config.options["contrast"].count, config.options["contrast"].temperature) == (16384, 0.1)


def test_cells_of_cifar20_are_the_runs_of_the_command_line():
    """The words with which these runs were started by hand, on arrays in files."""
    words = (
        "npz:/data/one.npz,/data/two.npz --test npz:/data/test.npz --subset.classes 20 --subset.per_class 100 "
        "--backbone resnet20 --batch_size 64 --lr 0.05 --validation 0 --precision bf16-mixed "
        "--memory_format channels_last --log_every 31 --seed 2"
    )
    by_hand = {
        "single network": "--method baseline --peers 1",
        "baseline": "--method baseline --sharing branch",
        "ONE": "--method one --sharing branch --branch_at early",
        "OKDDip": "--method okddip --sharing branch --branch_at early --ramp 27",
        "MCL-OKD": "--method mcl-okd --sharing branch --ensemble 1 --ramp 0",
        "MCL-OKD, ensemble x 9": "--method mcl-okd --sharing branch --ensemble 9 --ramp 0",
    }
    cells = {cell.labels["method"]: cell for cell in compared("cifar20")}
    assert [*cells, "MCL-OKD, ensemble x 9"] == [*by_hand]
    for method, cell in cells.items():
        assert digest(parse(shlex.split(f"{words} {by_hand[method]} --epochs 100"))[0]) == cell.digest
    for cell in compared("cifar20-crossing"):
        own = f"{by_hand[cell.labels['method']]} --epochs {cell.labels['epochs']}"
        assert digest(parse(shlex.split(f"{words} {own}"))[0]) == cell.digest
    of_worth = [cell for cell in compared("worth") if cell.labels["method"] in by_hand]
    assert [cell.labels.get("epochs") for cell in of_worth] == [
        *("100", "200", "360", "720", "100", "200"),
        *("25", "50", "100", "200", "360", "720", None, None, None),
    ]
    for cell in of_worth:
        wrong = " --subset.wrong_labels 0.3" if "wrong" in cell.labels["augmentation"] else ""
        own = f"{by_hand[cell.labels['method']]} --epochs {cell.labels.get('epochs', 200)} --augment trivialaugment"
        assert digest(parse(shlex.split(f"{words} {own}{wrong}"))[0]) == cell.digest


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        *(
            ("cifar20", 5 * 6),
            ("cifar20-crossing", 14 * 3),
            ("cifar20-peers", 5 * 3),
            ("worth", 22 * 3),
            ("worth-photos", 6 * 3),
        ),
        *(("worth-few-photos", 10 * 3), ("worth-wrong-labels", 6 * 6), ("worth-trivialaugment", 13 * 6)),
        ("worth-distillation", 16 * 6),
        ("cifar-fs", 2 * 3),
    ],
)
def test_our_own_studies_have_no_other_runs_than_their_rows(name, runs):
    cells = load_study(name).cells
    assert len(cells) == len({cell.name for cell in cells}) == runs
