"""Methods by name: short compositions of terms with the weights of their papers.

A method is a function of a cohort and the training labels; its keyword options are the method's options on the
command line and in configuration files. Importing this module does not import PyTorch.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from peerdistill import terms
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms import Method, Teacher


def baseline(cohort: "Cohort", train_labels: "Tensor") -> "Method":
    """Peers that learn from labels alone (eq. 1): nothing is distilled."""
    return terms.Method([terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy())])


def dml(cohort: "Cohort", train_labels: "Tensor", *, temperature: float = 2.0, mutual: float = 1.0) -> "Method":
    """Deep mutual learning: every peer learns from every other one (Zhang et al., CVPR 2018).

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences: 2 as in released comparisons, 1 in the original.
        mutual: Weight of the divergences (0: left out).
    """
    _require_peers(cohort, 2, "dml")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("mutual", mutual, terms.MutualKL(temperature)),
        ]
    )


def cl_ilr(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: float = 2.0,
    labels: float = 0.5,
    others: float = 0.5,
) -> "Method":
    """Collaborative learning: every peer learns from the mean of the others (Song and Chai, NeurIPS 2018).

    Its cohort is a tree whose shared stages take the mean of the gradients that flow down to them.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        labels: Weight of the peers' cross-entropies.
        others: Weight of the divergences from the mean of the others' logits.
    """
    _require_peers(cohort, 2, "cl-ilr")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", labels, terms.CrossEntropy()),
            terms.Weighted("others", others, terms.OthersToPeer(temperature)),
        ]
    )


def one(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: float = 3.0,
    distillation: float = 1.0,
    ramp: int = 0,
) -> "Method":
    """On-the-fly native ensemble: peers learn from their gated ensemble (Zhu et al., NeurIPS 2018).

    Args:
        cohort: At least two peers on a shared stem.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of the peers' divergences from the ensemble.
        ramp: Epochs over which that weight rises (0: it does not; the original has 80).
    """
    _require_peers(cohort, 2, "one")
    if cohort.copies[0] != 1:
        raise UserError("one needs a stem that all peers share: choose sharing branch or tree")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble_labels", 1.0, terms.EnsembleCrossEntropy()),
            terms.Weighted("ensemble", terms.Ramp(distillation, ramp), terms.EnsembleToPeers(temperature)),
        ],
        ensemble=terms.GatedEnsemble(cohort.peers, cohort.stem_channels),
    )


def okddip(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: float = 3.0,
    distillation: float = 1.0,
    ramp: int = 80,
    mix: Literal["probabilities", "logits"] = "probabilities",
    stop_gradient: Literal["none", "logits"] = "none",
) -> "Method":
    """Online knowledge distillation with diverse peers: attention, then group to leader (Chen et al., AAAI 2020).

    Args:
        cohort: At least three peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of both levels of distillation after the ramp.
        ramp: Epochs over which that weight rises.
        mix: Targets mix softened probabilities (the paper) or logits (the released code).
        stop_gradient: Keep gradient from nothing (the released code), or from the logits that are mixed.
    """
    _require_peers(cohort, 3, "okddip")
    weight = terms.Ramp(distillation, ramp)
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("attention", weight, terms.AttentionTargets(cohort.width, temperature, mix, stop_gradient)),
            terms.Weighted("group", weight, terms.GroupToLeader(temperature, mix, stop_gradient)),
        ]
    )


def mcl_okd(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: float = 3.0,
    ensemble: float = 1.0,
    beta: float = 0.025,
    contrast: ContrastOptions = ContrastOptions(),  # noqa: B008 (frozen)
) -> "Method":
    """Multi-view contrastive learning for online knowledge distillation (eq. 12).

    Args:
        cohort: At least two peers.
        train_labels: Label of every training sample (N,), in the order of the samples' indices.
        temperature: Temperature T that softens the leader and the ensemble.
        ensemble: Weight of the ensemble as the leader's teacher (0: left out).
        beta: Weight of the contrast (0: left out).
        contrast: The contrast's own options.
    """
    _require_peers(cohort, 2, "mcl-okd")
    pairs = terms.MultiViewContrast(cohort.peers, cohort.width, train_labels, contrast) if beta else None
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble", ensemble, terms.EnsembleToLeader(temperature)),
            *([terms.Weighted("contrast", beta, pairs)] if pairs else []),
        ]
    )


def kd(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    temperature: float = 4.0,
    labels: float = 0.1,
    distillation: float = 0.9,
) -> "Method":
    """Knowledge distillation: one student learns from labels and from a teacher (Hinton et al., 2015).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A network that was trained before.
        temperature: Temperature T of the divergence.
        labels: Weight of the cross-entropy.
        distillation: Weight of the divergence from the teacher.
    """
    _require_one_student(cohort, "kd")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", labels, terms.CrossEntropy()),
            terms.Weighted("teacher", distillation, terms.TeacherToLeader(temperature)),
        ],
        teacher=teacher,
    )


def crd(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    beta: float = 0.8,
    distillation: float = 0.0,
    temperature: float = 4.0,
    contrast: ContrastOptions = ContrastOptions(temperature=0.07),  # noqa: B008 (frozen)
) -> "Method":
    """Contrastive representation distillation (Tian et al., ICLR 2020); "CRD+KD" with distillation 1.

    Args:
        cohort: The student, one peer.
        train_labels: Label of every training sample (N,), in the order of the samples' indices.
        teacher: A network that was trained before.
        beta: Weight of the contrast.
        distillation: Weight of the divergence from the teacher's class distribution (0: left out).
        temperature: Temperature T of that divergence.
        contrast: The contrast's own options; its normaliser and views are not used.
    """
    _require_one_student(cohort, "crd")
    pairs = terms.TeacherContrast(teacher.width, cohort.width, train_labels, contrast)
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("contrast", beta, pairs),
            terms.Weighted("teacher", distillation, terms.TeacherToLeader(temperature)),
        ],
        teacher=teacher,
    )


def rkd_d(cohort: "Cohort", train_labels: "Tensor", teacher: "Teacher", *, distance: float = 25.0) -> "Method":
    """Relational knowledge distillation: a batch lies as its teacher has it, by distances (Park et al., CVPR 2019).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A network that was trained before.
        distance: Weight of the distances between samples.
    """
    _require_one_student(cohort, "rkd-d")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("distance", distance, terms.TeacherRelation(terms.relative_distances)),
        ],
        teacher=teacher,
    )


def rkd_da(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    distance: float = 25.0,
    angle: float = 50.0,
) -> "Method":
    """Relational knowledge distillation by distances and by angles (Park et al., CVPR 2019).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A network that was trained before.
        distance: Weight of the distances between samples.
        angle: Weight of the angles between three samples.
    """
    _require_one_student(cohort, "rkd-da")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("distance", distance, terms.TeacherRelation(terms.relative_distances)),
            terms.Weighted("angle", angle, terms.TeacherRelation(terms.angles)),
        ],
        teacher=teacher,
    )


def _require_one_student(cohort: "Cohort", name: str) -> None:
    if cohort.peers != 1:
        raise UserError(f"{name} trains one student, found {cohort.peers} peers")


def _require_peers(cohort: "Cohort", fewest: int, name: str) -> None:
    if cohort.peers < fewest:
        raise UserError(f"{name} needs at least {fewest} peers, found {cohort.peers}")


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
        cohort: Further options that it chooses for its cohort.
        taught: Whether it needs a teacher.
    """

    build: Callable[..., "Method"]
    loss: str
    paper: str
    settings: tuple[str, ...]
    trains: str = "nothing"
    ensemble: str = "mean of logits"
    cohort: Mapping[str, Any] = field(default_factory=dict)
    taught: bool = False

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
    ),
    "dml": MethodCard(
        dml,
        loss="sum_m CE(z_m) + sum_m 1/(M-1) sum_{j != m} KL_T(z_j -> z_m)",
        paper="Zhang et al., CVPR 2018",
        settings=("network", "branch", "tree"),
    ),
    "cl-ilr": MethodCard(
        cl_ilr,
        loss="sum_m [0.5 CE(z_m) + 0.5 KL_T(mean_{j != m} z_j -> z_m)]",
        paper="Song and Chai, NeurIPS 2018",
        settings=("tree", "branch"),
        cohort={"split_gradients": "mean"},
    ),
    "one": MethodCard(
        one,
        loss="sum_m CE(z_m) + CE(z_e) + sum_m KL_T(z_e -> z_m)",
        paper="Zhu et al., NeurIPS 2018",
        settings=("branch", "tree"),
        trains="a gate on the shared stem",
        ensemble="gated: z_e = sum_m g_m z_m",
    ),
    "okddip": MethodCard(
        okddip,
        loss="sum_m CE(z_m) + w(t) [sum_{a<M} KL_T(t_a -> z_a) + KL_T(mean_{a<M} z_a -> z_M)]",
        paper="Chen et al., AAAI 2020",
        settings=("branch", "network", "tree"),
        trains="two linear maps of the attention",
    ),
    "mcl-okd": MethodCard(
        mcl_okd,
        loss="sum_m CE(z_m) + KL_T(mean_m z_m -> z_M) + beta L_contrast",
        paper="Yang et al., ICASSP 2021",
        settings=("branch", "network", "tree"),
        trains="an embedding head a peer, and memory banks",
    ),
    "kd": MethodCard(
        kd,
        loss="0.1 CE(z) + 0.9 KL_T(teacher -> z)",
        paper="Hinton et al., 2015",
        settings=("network",),
        cohort={"peers": 1},
        taught=True,
    ),
    "crd": MethodCard(
        crd,
        loss="CE(z) + 0.8 (NCE student -> teacher bank + NCE teacher -> student bank)",
        paper="Tian et al., ICLR 2020",
        settings=("network",),
        trains="two embedding heads, and memory banks",
        cohort={"peers": 1},
        taught=True,
    ),
    "crd+kd": MethodCard(
        partial(crd, distillation=1.0),
        loss="the loss of crd + KL_T(teacher -> z)",
        paper="Tian et al., ICLR 2020",
        settings=("network",),
        trains="two embedding heads, and memory banks",
        cohort={"peers": 1},
        taught=True,
    ),
    "rkd-d": MethodCard(
        rkd_d,
        loss="CE(z) + 25 Huber(distances of student, of teacher)",
        paper="Park et al., CVPR 2019",
        settings=("network",),
        cohort={"peers": 1},
        taught=True,
    ),
    "rkd-da": MethodCard(
        rkd_da,
        loss="CE(z) + 25 Huber(distances of student, of teacher) + 50 Huber(angles of student, of teacher)",
        paper="Park et al., CVPR 2019",
        settings=("network",),
        cohort={"peers": 1},
        taught=True,
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
