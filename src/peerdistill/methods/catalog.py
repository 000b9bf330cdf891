"""Methods by name, with what is known of each before one is built."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from peerdistill import terms
from peerdistill.errors import UserError, unknown_name
from peerdistill.methods.online import baseline, cl_ilr, dml, kdcl, mcl, mcl_okd, okddip, one, pcl
from peerdistill.methods.taught import crd, kd, rkd_d, rkd_da
from peerdistill.ranges import Range, check_values, range_of

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms import Method, Teacher


COST_CONDITIONS = (
    "a training step's time against the baseline's in the same sharing (with a teacher: against one student's), "
    "measured with resnet32, 4 peers, batch 64, 100 classes, 50,000 samples, on one CPU core"
)
"""What the cost of a method says, and of which sizes; ``benchmarks/methods.py`` measures it."""


@dataclass(frozen=True)
class MethodCard:
    """What is known of a method without building it.

    Attributes:
        build: The function of cohort and training labels.
        loss: The loss in one line.
        paper: Where it comes from.
        settings: Sharings that it can be trained in; the first is its own choice.
        trains: What is trained besides the peers.
        ensemble: What its ensemble is.
        deployed: What is taken out of it in the end.
        differs: How it differs from its paper, beyond names of options; empty where it does not.
        cost: A training step's time against the baseline's, see ``COST_CONDITIONS``; None where it was not measured.
        cohort: Further options that it chooses for its cohort.
        branches: What code its branches part as in; ``cohort`` says where. Empty where it trains one student.
        taught: Whether it needs a teacher.
        classifies: Whether its terms besides the cross-entropy read class logits; where they do not, few-shot peers
            do without a classifier.
    """

    build: Callable[..., "Method"]
    loss: str
    paper: str
    settings: tuple[str, ...]
    trains: str = "nothing"
    ensemble: str = "mean of logits"
    deployed: str = "the leader alone, the last peer"
    differs: str = ""
    cost: float | None = None
    cohort: Mapping[str, Any] = field(default_factory=dict)
    branches: str = ""
    taught: bool = False
    classifies: bool = True

    @property
    def documentation(self) -> str:
        """The docstring of the function, also where some of its options are already given."""
        function = self.build.func if isinstance(self.build, partial) else self.build
        return inspect.getdoc(function) or ""


METHODS: dict[str, MethodCard] = {
    "baseline": MethodCard(
        baseline,
        loss="sum_m CE(z_m)",
        paper="-",
        settings=("branch", "network", "tree"),
        cost=1.00,
        branches="our choice, as mcl-okd has it: no code of it in branches was released",
        classifies=False,
    ),
    "dml": MethodCard(
        dml,
        loss="sum_m CE(z_m) + sum_m 1/(M-1) sum_{j != m} KL_T(z_j -> z_m)",
        paper="Zhang et al., CVPR 2018",
        settings=("network", "branch", "tree"),
        cost=0.99,
        branches="winycg/MCL-OKD, models/dml_*.py; in the original, peers are whole networks",
    ),
    "cl-ilr": MethodCard(
        cl_ilr,
        loss="sum_m [0.5 CE(z_m) + 0.5 KL_T(mean_{j != m} z_j -> z_m)]",
        paper="Song and Chai, NeurIPS 2018",
        settings=("tree", "branch"),
        cost=1.00,
        cohort={"split_gradients": "mean"},
        branches="winycg/MCL-OKD, models/cl_ilr_*.py, with this tree of 4 peers; no code of its authors is known",
    ),
    "one": MethodCard(
        one,
        loss="sum_m CE(z_m) + CE(z_e) + sum_m KL_T(z_e -> z_m)",
        paper="Lan et al., NeurIPS 2018",
        settings=("branch", "tree"),
        cost=1.01,
        trains="a gate on the shared stem",
        ensemble="gated: z_e = sum_m g_m z_m",
        cohort={"branch_at": "late"},
        branches="Lan1991Xu/ONE_NeurIPS2018, models/cifar/resnet.py, and winycg/MCL-OKD, models/one_*.py",
    ),
    "okddip": MethodCard(
        okddip,
        loss="sum_m CE(z_m) + w(t) [sum_{a<M} KL_T(t_a -> z_a) + KL_T(mean_{a<M} z_a -> z_M)]",
        paper="Chen et al., AAAI 2020",
        settings=("branch", "network", "tree"),
        cost=1.01,
        trains="two linear maps of the attention",
        cohort={"branch_at": "late"},
        branches="DefangChen/OKDDip, models/model_cifar/*_GL.py, and winycg/MCL-OKD, models/okddip_*.py",
    ),
    "mcl-okd": MethodCard(
        mcl_okd,
        loss="sum_m CE(z_m) + KL_T(mean_m z_m -> z_M) + beta L_contrast",
        paper="Yang et al., ICASSP 2021",
        settings=("branch", "network", "tree"),
        cost=1.41,
        trains="an embedding head a peer, and memory banks",
        branches="winycg/MCL-OKD, models/mcl_okd_*.py",
    ),
    "kdcl": MethodCard(
        kdcl,
        loss="sum_m CE(z_m) + sum_m KL_T(t -> z_m), t_c = min_m (z_mc - z_my)",
        paper="Guo et al., CVPR 2020",
        settings=("network", "branch", "tree"),
        cost=0.99,
        branches="our choice: its paper trains whole networks, and no code of its authors is known to us",
        differs="one augmentation for all peers, not one for each; no target weighed by errors on validation images, "
        "which choose the best epoch and nothing else",
    ),
    "pcl": MethodCard(
        pcl,
        loss="sum_m CE(z_m) + CE(z_e) + w(t) sum_m [KL_T(z_e -> z_m) + 1/(M-1) sum_{j != m} KL_T(mean peer j -> z_m)]",
        paper="Wu and Gong, AAAI 2021",
        settings=("branch", "tree", "network"),
        cost=1.42,
        trains="a classifier on all features; running means follow the peers",
        ensemble="that of all features: z_e = W [v_1, ..., v_M] + b",
        cohort={"branch_at": "late"},
        branches="shaoeric/Peer-Collaborative-Learning-for-Online-Knowledge-Distillation, src/models/*.py, "
        "a reproduction by others; no code of its authors is known to us",
        differs="one augmentation for all peers, not one for each; the leader is deployed, not a peer's running mean",
    ),
    "mcl": MethodCard(
        mcl,
        loss="sum_m CE(z_m) + 0.1 sum_m VCL_m + sum_{a != b} [0.1 ICL_ab + KL_T(p_b -> p_a) + KL_T(q_ba -> q_ab)]",
        paper="Yang et al., AAAI 2022",
        settings=("network", "branch", "tree"),
        cost=1.04,
        trains="an embedding head a peer",
        branches="winycg/MCL, models/*.py, where two peers are whole networks and more are branches",
        differs="batches are not drawn by class: an anchor without a positive in its batch is left out of VCL and ICL",
    ),
    "kd": MethodCard(
        kd,
        loss="0.1 CE(z) + 0.9 KL_T(teacher -> z)",
        paper="Hinton et al., 2015",
        settings=("network",),
        cost=1.29,
        cohort={"peers": 1},
        taught=True,
    ),
    "crd": MethodCard(
        crd,
        loss="CE(z) + 0.8 (NCE student -> teacher bank + NCE teacher -> student bank)",
        paper="Tian et al., ICLR 2020",
        settings=("network",),
        cost=1.56,
        trains="two embedding heads, and memory banks",
        cohort={"peers": 1},
        taught=True,
        classifies=False,
    ),
    "crd+kd": MethodCard(
        partial(crd, distillation=1.0),
        loss="the loss of crd + KL_T(teacher -> z)",
        paper="Tian et al., ICLR 2020",
        settings=("network",),
        cost=1.58,
        trains="two embedding heads, and memory banks",
        cohort={"peers": 1},
        taught=True,
    ),
    "rkd-d": MethodCard(
        rkd_d,
        loss="CE(z) + 25 Huber(distances of student, of teacher)",
        paper="Park et al., CVPR 2019",
        settings=("network",),
        cost=1.29,
        cohort={"peers": 1},
        taught=True,
        classifies=False,
    ),
    "rkd-da": MethodCard(
        rkd_da,
        loss="CE(z) + 25 Huber(distances of student, of teacher) + 50 Huber(angles of student, of teacher)",
        paper="Park et al., CVPR 2019",
        settings=("network",),
        cost=1.30,
        cohort={"peers": 1},
        taught=True,
        classifies=False,
    ),
}


def names() -> tuple[str, ...]:
    """Return every name that :func:`build` takes."""
    return tuple(METHODS)


def find(name: str) -> MethodCard:
    """Return what is known of the method called ``name``.

    Raises:
        UserError: For an unknown name.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]


def options_of(name: str) -> list[inspect.Parameter]:
    """Return a method's keyword options: names, types and defaults."""
    parameters = inspect.signature(find(name).build).parameters.values()
    return [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def ranges_of_options(name: str) -> dict[str, Range]:
    """Return the ranges of a method's options, where their types state one; nested options bring their own."""
    stated = {option.name: range_of(option.annotation) for option in options_of(name)}
    return {option: found for option, found in stated.items() if found is not None}


def build(
    name: str,
    cohort: "Cohort",
    *,
    train_labels: "Tensor",
    teacher: "Teacher | None" = None,
    teacher_weight: float = 1.0,
    teacher_temperature: float = 4.0,
    **options: Any,
) -> "Method":
    """Return the method called ``name`` for ``cohort``.

    Args:
        name: One of :func:`names`.
        cohort: The peers.
        train_labels: Label of every training sample (N,).
        teacher: A network that was trained before. A method that does without one gets a further term then ("+KD"):
            the leader, and it alone, learns from the teacher too.
        teacher_weight: Weight of that term.
        teacher_temperature: Temperature T of that term.
        **options: The method's own keyword options.

    Raises:
        UserError: For an unknown method or option, a missing teacher, too few peers, or what the method itself refuses.
    """
    card = find(name)
    _check_options(name, options)
    if card.taught:
        if teacher is None:
            raise UserError(f"{name} needs a teacher: a run or an exported .safetensors file")
        return card.build(cohort, train_labels, teacher, **options)
    method = card.build(cohort, train_labels, **options)
    if teacher is not None:
        term = terms.TeacherToLeader(teacher_temperature)
        method.add_teacher(teacher, terms.Weighted("teacher", teacher_weight, term))
    return method


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    allowed = [option.name for option in options_of(name)]
    for option in options:
        if not allowed:
            raise UserError(f"{name} has no options, found '{option}'")
        if option not in allowed:
            raise unknown_name(f"option of {name}", option, allowed)
    check_values(options, ranges_of_options(name))
