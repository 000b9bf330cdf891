"""Studies from files: products, parts, teachers, plain networks, filters, and one clear sentence for each mistake."""

import pytest

from peerdistill.errors import UserError
from peerdistill.study.plan import load_study

SWEEP = """\
data: digits
seeds: 5
options: {method: mcl-okd, epochs: 2}
sweep: {beta: [0.01, 0.025, 0.1]}
baseline: {beta: 0.025}
"""


def compared(study):
    return [cell for cell in study.cells if cell.role == "method"]


def test_a_sweep_is_five_lines(write):
    study = load_study(write(SWEEP))
    cells = compared(study)
    assert [(cell.labels["beta"], cell.seed) for cell in cells[:4]] == [
        ("0.01", 0),
        ("0.025", 0),
        ("0.1", 0),
        ("0.01", 1),
    ]
    assert len(cells) == 15
    assert {cell.config().options["beta"] for cell in cells} == {0.01, 0.025, 0.1}
    assert {cell.config().training.epochs for cell in cells} == {2}
    assert len({cell.name for cell in study.cells}) == len(study.cells) == 15 + 5
    assert study.title == study.name == "mine"
    assert study.baseline == {"beta": "0.025"}


def test_a_plain_network_has_the_options_that_are_not_of_peers(write):
    text = """\
datasets: {digits: {data: digits, flip: true}}
options: {lr: 0.1, seeds_do_not_matter: 1}
"""
    with pytest.raises(UserError, match=r"unknown option in .*mine.yaml 'seeds_do_not_matter'"):
        load_study(write(text))
    study = load_study(
        write("""\
datasets: {digits: {data: digits, flip: true}}
seeds: [4]
options: {lr: 0.1}
axes:
  network: {small: {backbone: resnet8}, large: {backbone: resnet20}}
  method:
    ours: {method: mcl-okd, peers: 3, contrast: {count: 8}}
    theirs: {method: one, sharing: tree}
    late: {method: one, growth: {start: 0.5, noise: 0.2}}
    rarely: {method: one, distill_every: 2}
""")
    )
    plain = [cell for cell in study.cells if cell.role == "plain"]
    assert [dict(cell.labels) for cell in plain] == [
        {"dataset": "digits", "network": "small"},
        {"dataset": "digits", "network": "large"},
    ]
    for cell, backbone in zip(plain, ("resnet8", "resnet20"), strict=True):
        config = cell.config()
        assert (config.cohort.backbone, config.cohort.peers, config.method) == (backbone, 1, "baseline")
        assert (config.training.lr, config.training.seed, config.data.flip) == (0.1, 4, True)
    for cell in compared(study):
        assert study.plain_of(cell).name == plain[cell.labels["network"] == "large"].name


def test_no_plain_network_without_need(write):
    study = load_study(write(f"{SWEEP}equal_compute: false\n"))
    assert len(study.cells) == 15


def test_a_teacher_is_a_cell_before_its_students(write):
    study = load_study(
        write("""\
data: digits
seeds: 2
options: {epochs: 2, lr: 0.1}
axes:
  method:
    KD: {method: kd, teacher: {backbone: resnet32, epochs: 3}}
    RKD: {method: rkd-d, teacher: {seed_offset: 1}}
    Alone: {method: baseline, peers: 1}
""")
    )
    place = {cell.name: number for number, cell in enumerate(study.cells)}
    students = {(cell.labels["method"], cell.seed): cell for cell in study.cells if cell.teacher is not None}
    assert len(students) == 4
    for cell in students.values():
        assert place[cell.teacher.name] < place[cell.name]
    of_kd = students["KD", 1].teacher
    config = of_kd.config()
    assert (config.cohort.backbone, config.training.epochs, config.training.lr, of_kd.seed) == ("resnet32", 3, 0.1, 1)
    assert of_kd.role == "teacher"
    # The teacher of RKD is the run that is compared, with the other seed; the last one is a run of its own.
    alone = {cell.seed: cell for cell in study.cells if cell.labels.get("method") == "Alone"}
    assert students["RKD", 0].teacher.name == alone[1].name
    assert students["RKD", 1].teacher.seed == 2
    assert [cell.role for cell in study.cells if cell.name == alone[1].name] == ["method"]


def test_parts_are_merged_over_what_they_share(write):
    study = load_study(
        write("""\
datasets: {digits: {data: digits}, cifar: {data: cifar100}}
seeds: 1
options: {optimizer: {momentum: 0.5}}
axes: {dataset: [digits], method: {DML: {method: dml}}}
parts:
- {}
- {seeds: 2, options: {optimizer: {nesterov: false}}, axes: {dataset: [cifar], network: {R8: {backbone: resnet8}}}}
equal_compute: false
baseline: {method: DML}
""")
    )
    assert [(dict(cell.labels), cell.seed) for cell in study.cells] == [
        ({"dataset": "digits", "method": "DML"}, 0),
        ({"dataset": "cifar", "method": "DML", "network": "R8"}, 0),
        ({"dataset": "cifar", "method": "DML", "network": "R8"}, 1),
    ]
    optimizers = [cell.config().training.optimizer for cell in study.cells]
    assert [(one.momentum, one.nesterov) for one in optimizers] == [(0.5, True), (0.5, False), (0.5, False)]


def test_a_part_chooses_labels_of_an_axis_of_the_study(write):
    study = load_study(
        write("""\
data: digits
seeds: 1
axes:
  method: {DML: {method: dml}, ONE: {method: one, sharing: branch}}
  augment: {true: {flip: true}, none: {flip: false}}
parts:
- {axes: {method: [ONE], augment: [true]}}
- {axes: {augment: [none]}}
equal_compute: false
baseline: {method: ONE}
""")
    )
    found = [(cell.labels["method"], cell.labels["augment"], cell.config().method) for cell in study.cells]
    assert found == [("ONE", "true", "one"), ("DML", "none", "dml"), ("ONE", "none", "one")]
    assert [cell.config().data.flip for cell in study.cells] == [True, False, False]


def test_filters_and_seeds():
    chosen = {"network": ["resnet-32"], "method": ["mcl-okd", "ONE"]}
    study = load_study("table2", seeds=[5, 6], only=chosen)
    assert {(cell.labels["method"], cell.seed) for cell in compared(study)} == {
        (method, seed) for method in ("MCL-OKD", "ONE") for seed in (5, 6)
    }
    assert {cell.labels["network"] for cell in study.cells} == {"ResNet-32"}
    assert study.seeds == (5, 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sedes: 3\ndata: digits\n", "unknown key of a study in .*mine.yaml 'sedes': did you mean seeds?"),
        (
            "data: digits\nseeds: many\n",
            "seeds in .*mine.yaml must be an integer or a list in square brackets, found many",
        ),
        ("data: digits\nseeds: 0\n", "seeds in .*mine.yaml must be a list, or a number from 1 to 1,000, found 0"),
        ("data: digits\nseeds: [-1]\n", "a seed in .*mine.yaml must be at least 0 and below .*, found -1"),
        ("data: digits\nseeds: [1, 1]\n", r"seeds in .*mine.yaml must differ, found \[1, 1\]"),
        ("seeds: 1\n", "data is missing in .*mine.yaml: it is "),
        ("data: digitz\n", r"unknown data 'digitz' \(did you mean digits\?\)"),
        ("data: digits\ndatasets: {a: {data: digits}}\n", "data and datasets are both given in .*mine.yaml"),
        ("data: digits\noptions: {betta: 0.1}\n", "unknown option in .*mine.yaml 'betta': did you mean beta?"),
        ("data: digits\noptions: {beta: much}\n", "beta in .*mine.yaml must be a number, found much"),
        ("data: digits\noptions: {lr: -1}\n", "lr in .*mine.yaml must be above 0 and at most 1,000, found -1"),
        ("data: digits\noptions: {method: mcl-odk}\n", "unknown method.* 'mcl-odk': did you mean mcl-okd"),
        ("data: digits\noptions: {seed: 1}\n", "seed is among the options in .*mine.yaml: it belongs to seeds"),
        ("data: digits\naxes: {method: dml}\n", "the axis method in .*mine.yaml must hold options as .*, found dml"),
        ("data: digits\naxes: {method: {DML: dml}}\n", "the label 'DML' of the axis method in .* found dml"),
        ("data: digits\naxes: {dataset: [digit]}\n", "unknown data set in .*mine.yaml 'digit': did you mean digits?"),
        (
            "data: digits\naxes: {way: {a: {}}}\nparts: [{axes: {way: [b]}}]\n",
            "unknown way in .*mine.yaml 'b': choose from a",
        ),
        ("data: digits\nparts: [{axes: {way: [b]}}]\n", r"the axis way in .*mine.yaml must hold options as .*\['b'\]"),
        ("data: digits\nparts: [{sedes: 1}]\n", "unknown key of a part in .*mine.yaml 'sedes': did you mean seeds?"),
        ("data: digits\nsweep: {beta: []}\n", "sweep of beta in .*mine.yaml has no values"),
        (
            "data: digits\nfigure: {x: epochs, serie: [a]}\n",
            "unknown option of figure .*'serie': did you mean series",
        ),
        ("datasets: {A b: {data: digits}, a-b: {data: digits}}\n", "'A b' and 'a-b' .* the same run folders"),
        ("data: digits\noptions: {pretrained: true}\n", "image_size is missing in .*mine.yaml"),
        ("data: digits\nbaseline: {methd: x}\n", "unknown axis of baseline in .*mine.yaml 'methd'"),
        ("a: [\n", "mine.yaml, line 2 is not valid YAML"),
    ],
    ids=lambda value: value.split("\n")[-2] if "\n" in value else "",
)
def test_mistakes_are_one_sentence(write, text, message):
    with pytest.raises(UserError, match=message):
        load_study(write(text))


def test_unknown_names_are_listed(write):
    with pytest.raises(UserError, match="unknown study 'tabel2': did you mean table2"):
        load_study("tabel2")
    with pytest.raises(UserError, match=r"there is no study file 'none.yaml'; the studies of the package are .*table2"):
        load_study("none.yaml")
    with pytest.raises(UserError, match=r"unknown axis.* 'netwrok': did you mean network"):
        load_study("table2", only={"netwrok": ["ResNet-32"]})
    with pytest.raises(UserError, match=r"unknown network.* 'ResNet-33': did you mean .*ResNet-32"):
        load_study("table2", only={"network": ["ResNet-33"]})
    with pytest.raises(UserError, match="unknown scale 'smok': did you mean smoke"):
        load_study("table2", scale="smok")
