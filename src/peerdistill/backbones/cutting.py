"""Where a traced forward pass can be cut: where one tensor passes on and no weights are used on both sides."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import fx, nn

from peerdistill.backbones.tracing import Program, UntraceableError, program, trace


class Part(NamedTuple):
    """What lies between two cuts."""

    name: str
    modules: tuple[str, ...]
    program: Program


class ForwardPass:
    """The steps from the images to the classifier's input in the mode that a network is in, and where they can be cut.

    Args:
        network: Any network that takes images.
        classifier: Attribute name of its classifier.

    Attributes:
        cuts: What ends where only one tensor is still needed -> the step that computes that tensor.

    Raises:
        UntraceableError: Where the forward pass can't be traced, or ends in something else than the classifier.
    """

    def __init__(self, network: nn.Module, classifier: str):
        self.network = network
        graph = trace(network, classifier)
        features = self._logits(graph, classifier).args[0]
        assert isinstance(features, fx.Node)
        everything = list(graph.nodes)
        self.input, *self.steps = everything[: everything.index(features) + 1]
        self.cuts = self._cuts()

    def _logits(self, graph: fx.Graph, classifier: str) -> fx.Node:
        """Return the call of the classifier; nothing but placeholders of a head without it may follow."""
        step = graph.output_node().args[0]
        while isinstance(step, fx.Node) and step.op == "call_module" and step.target != classifier:
            if not isinstance(self.network.get_submodule(str(step.target)), nn.Identity | nn.Flatten):
                break
            step = step.args[0]
        if not (isinstance(step, fx.Node) and step.target == classifier):
            raise UntraceableError(f"its classifier '{classifier}' does not return its logits")
        return step

    def _cuts(self) -> dict[str, fx.Node]:
        last_use = {used: number for number, step in enumerate(self.steps) for used in step.all_input_nodes}
        last_inside = {module: number for number, step in enumerate(self.steps) for module in _modules(step)}
        state = [_state(self.network, [step]) for step in self.steps]
        cuts = {}
        for number, step in enumerate(self.steps[:-1]):
            needed = [used for used in (self.input, *self.steps[: number + 1]) if last_use.get(used, -1) > number]
            before, after = set().union(*state[: number + 1]), set().union(*state[number + 1 :])
            ends = [module for module in _modules(step) if last_inside[module] == number]
            if needed == [step] and ends and before.isdisjoint(after):
                cuts[min(ends, key=depth)] = step
        return cuts

    def parts(self, cuts: Sequence[str]) -> list[Part]:
        """Return the parts between these cuts; the last one ends at the classifier."""
        ends = [self.input, *(self.cuts[name] for name in cuts), self.steps[-1]]
        named = [step for step in self.steps if _modules(step)]
        names = [*cuts, min(_modules(named[-1]), key=depth)]
        order = [self.input, *self.steps]
        found = []
        for name, (start, end) in zip(names, pairwise(ends), strict=True):
            steps = order[order.index(start) + 1 : order.index(end) + 1]
            owned = dict.fromkeys(str(step.target) for step in steps if step.op in ("call_module", "get_attr"))
            found.append(Part(name, tuple(owned), program(steps, start, end)))
        return found


def _modules(step: fx.Node) -> list[str]:
    """Return the modules that a step lies in, outermost first, and the one that it calls."""
    # A module's second call is written "name@1".
    inside = [module.partition("@")[0] for module in step.meta.get("nn_module_stack", ()) if module]
    return [*inside, str(step.target)] if step.op == "call_module" and step.target not in inside else inside


def depth(module: str) -> int:
    """Return how deep a module lies in others."""
    return module.count(".")


def _state(network: nn.Module, steps: Sequence[fx.Node]) -> set[int]:
    """Return the identities of the parameters and buffers that steps use."""
    found: set[int] = set()
    for step in steps:
        if step.op == "call_module":
            module = network.get_submodule(str(step.target))
            found.update(map(id, [*module.parameters(), *module.buffers()]))
        elif step.op == "get_attr":
            parent, _, attribute = str(step.target).rpartition(".")
            found.add(id(getattr(network.get_submodule(parent), attribute)))
    return found
