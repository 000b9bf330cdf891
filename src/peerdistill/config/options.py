"""Option groups of a run that no other room owns: the peers, the cross-entropy and the teacher."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from peerdistill import backbones
from peerdistill.config.class_weights import read_class_weights
from peerdistill.deploy.what import AVERAGE, LEADER, NAMES, is_what
from peerdistill.errors import UserError, unknown_name
from peerdistill.paths import absolute_path
from peerdistill.ranges import Range, Temperature, Weight, check_ranges
from peerdistill.sharing import SHARINGS, BranchAt, check_peer_backbones

_CLASS_WEIGHT = Range(above=0, most=10**6)


@dataclass(frozen=True)
class CohortConfig:
    """Peers."""

    backbone: str = "resnet32"
    """Network of every peer: one of ours, timm:NAME, timm:hf-hub:OWNER/NAME, timm:local-dir:PATH, torchvision:NAME or
    package.module:function."""
    peer_backbones: list[str] | None = None
    """Networks of all peers but the leader, if not --backbone: [resnet20,resnet56]. Nothing is shared then."""
    classifier: str | None = None
    """For package.module:function only: name of its classifier (default: the last linear layer)."""
    pretrained: bool = False
    """Initialise all peers from the pretrained weights of timm or torchvision, except their classifiers."""
    weights: str | None = None
    """A run folder, a .safetensors file or a folder in hub layout; its leader initialises all peers, except their
    classifiers."""
    sharing: str | list[int] = "branch"
    """network (nothing shared), branch (first stages shared), tree (1-2-4), or the copies of each stage: [1,2,4,4]."""
    share_until: str | None = None
    """For branch and tree: the last shared stage (default: depends on the backbone)."""
    branch_at: BranchAt = "early"
    """For branch without --share_until: branches start early, as in MCL-OKD, or late, as in ONE and OKDDip."""
    peers: Annotated[int, Range(least=1, most=256)] = 4
    """Number of peers; the last one is the leader."""
    split_gradients: Literal["sum", "mean"] = "sum"
    """Gradient of a shared stage: the sum or the mean of the gradients of its branches."""
    freeze_until: str | None = None
    """Last stage that does not learn; all peers share the stages up to it. The last of all: only classifiers learn."""

    def check(self) -> None:
        """Raise UserError for options that are wrong for every backbone."""
        for name in (self.backbone, *(self.peer_backbones or ())):
            backbones.resolve(name)
        check_ranges(self)
        if self.peer_backbones:
            check_peer_backbones(self.peer_backbones, self.peers, self.sharing)
        if self.weights and (self.pretrained or self.peer_backbones):
            raise UserError("weights cannot be combined with pretrained or peer_backbones")
        if self.freeze_until and not (self.pretrained or self.weights or backbones.is_user_code(self.backbone)):
            raise UserError(
                f"freeze_until {self.freeze_until} would freeze random weights: set pretrained or weights as well"
            )
        if isinstance(self.sharing, str) and self.sharing not in SHARINGS:
            raise unknown_name("sharing", self.sharing, SHARINGS)


UNWEIGHTED, BALANCED = "none", "balanced"
"""Values of ``class_weights`` that are not files."""


@dataclass(frozen=True)
class LossConfig:
    """Cross-entropy."""

    label_smoothing: Annotated[float, Range(least=0, below=1)] = 0.0
    """Share of each target that is spread evenly over all classes."""
    class_weights: str | dict[str | int, float] = UNWEIGHTED
    """Weight of each class: none, balanced (inverse class frequencies), a YAML or CSV file, or {class: weight, ...}."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        check_ranges(self)
        if isinstance(self.class_weights, dict):
            for name, weight in self.class_weights.items():
                _CLASS_WEIGHT.check(f"the weight of class '{name}' in class_weights", weight)

    def resolved(self) -> "LossConfig":
        """Return the options with class weights by name: those of a file, if the option names one.

        Raises:
            UserError: The file is missing, or contains something else.
        """
        if self.class_weights in (UNWEIGHTED, BALANCED):
            return self
        if isinstance(self.class_weights, str):
            by_name = read_class_weights(absolute_path(self.class_weights, "class_weights"))
        else:
            by_name = {str(name): weight for name, weight in self.class_weights.items()}
        return replace(self, class_weights=by_name)


@dataclass(frozen=True)
class TeacherConfig:
    """Teacher."""

    teacher: str | None = None
    """A run folder or an exported .safetensors file; the leader also learns from it."""
    teacher_what: str = LEADER
    """Which network of a run teaches: leader, ensemble, peer:K (of 0 to peers - 1) or ema."""
    teacher_weight: Weight = 1.0
    """Weight of the distillation loss from the teacher, for methods that do not need one."""
    teacher_temperature: Temperature = 4.0
    """Temperature of the distillation loss from the teacher."""

    def check(self) -> None:
        """Raise UserError for a value outside its range, or if there is no teacher to choose a network of."""
        check_ranges(self)
        if not is_what(self.teacher_what):
            raise unknown_name("network of a teacher", self.teacher_what, [name for name in NAMES if name != AVERAGE])
        if self.teacher_what != LEADER and self.teacher is None:
            raise UserError(f"teacher_what {self.teacher_what} needs a run that teaches: --teacher RUN")
