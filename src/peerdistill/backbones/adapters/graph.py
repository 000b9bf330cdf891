"""The forward pass of any network as a list of steps, found by symbolic tracing, and the places where it can be cut.

A cut lies where a single tensor is passed on and no weights are used on both sides. Tracing opens only containers: each
block remains one call of its own module, so its Python code runs unchanged in training and evaluation.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, fx, nn

from peerdistill.errors import UserError

# A module with more than this share of the network's parameters is opened, as is every nn.Sequential.
_LARGE = 1 / 4

Program = Callable[[nn.Module, Float[Tensor, "batch ..."]], Float[Tensor, "batch ..."]]
"""Part of a forward pass. Takes a network with the structure of the traced one, and the input of this part."""


class UntraceableError(UserError):
    """The forward pass cannot be written as a list of steps."""


class Part(NamedTuple):
    """The steps between two cuts."""

    name: str
    modules: tuple[str, ...]
    program: Program


class ForwardPass:
    """The steps from the images to the classifier's input, in the network's current mode, and the possible cuts.

    Args:
        network: Any network that takes images.
        classifier: Attribute name of its classifier.

    Attributes:
        cuts: The step whose output is passed on at each cut, by the name of the module that ends there.

    Raises:
        UntraceableError: If the forward pass cannot be traced or does not end with the classifier.
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
        """Return the call of the classifier. Only identities and flattening may follow it."""
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
        """Return the parts between the given cuts. The last part ends at the classifier."""
        ends = [self.input, *(self.cuts[name] for name in cuts), self.steps[-1]]
        named = [step for step in self.steps if _modules(step)]
        names = [*cuts, min(_modules(named[-1]), key=depth)]
        order = [self.input, *self.steps]
        found = []
        for name, (start, end) in zip(names, pairwise(ends), strict=True):
            steps = order[order.index(start) + 1 : order.index(end) + 1]
            owned = dict.fromkeys(str(step.target) for step in steps if step.op in ("call_module", "get_attr"))
            found.append(Part(name, tuple(owned), _program(steps, start, end)))
        return found


def trace(network: nn.Module, inside: str) -> fx.Graph:
    """Return the graph of the forward pass in the network's current mode (training or evaluation).

    ``meta["nn_module_stack"]`` of every node lists the modules around it.

    Args:
        network: Any network that takes images.
        inside: A module whose call must appear in the graph: all modules around it are opened.

    Raises:
        UntraceableError: If the forward pass depends on values, or its result is not a single tensor.
    """
    parts = inside.split(".")
    opened = {".".join(parts[:depth]) for depth in range(1, len(parts))}
    closed: set[str] = set()
    graph = _traced(network, opened)
    while more := [name for name in _calls(graph) if name not in closed and _is_container(network, name)]:
        for name in more:
            try:
                graph = _traced(network, {*opened, name})
            except UntraceableError:
                closed.add(name)
            else:
                opened.add(name)
    return graph


class _ContainerTracer(fx.Tracer):
    """Traces ``forward`` with its first argument, the others at their defaults, and opens only the given modules."""

    def __init__(self, opened: Iterable[str]):
        super().__init__()
        self.opened = set(opened)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m
        return module_qualified_name not in self.opened

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        del is_module, concrete_args
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]


def _traced(network: nn.Module, opened: set[str]) -> fx.Graph:
    try:
        graph = _ContainerTracer(opened).trace(network)
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        raise UntraceableError(" ".join(str(error).split())) from error
    # Modules are kept because a call may change their state. Unused function results come from shape checks.
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "call_module", "output"))
    if any(node.op == "get_attr" and str(node.target).startswith("_tensor_constant") for node in graph.nodes):
        raise UntraceableError("its forward pass creates tensors that are not parameters or buffers of a module")
    if not isinstance(graph.output_node().args[0], fx.Node):
        raise UntraceableError("its forward pass returns more than one tensor")
    return graph


def _calls(graph: fx.Graph) -> list[str]:
    return [str(node.target) for node in graph.nodes if node.op == "call_module"]


def _is_container(network: nn.Module, name: str) -> bool:
    module = network.get_submodule(name)
    if next(module.children(), None) is None:
        return False
    return isinstance(module, nn.Sequential) or _size(module) > _LARGE * _size(network)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _program(nodes: Sequence[fx.Node], entry: fx.Node, exit: fx.Node) -> Program:
    """Return the part of a traced forward pass that computes ``exit`` from ``entry`` with ``nodes``."""
    graph = fx.Graph()
    copies = {entry: graph.placeholder("x")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[exit])
    source = graph.python_code("self")
    names = dict(source.globals)
    exec(source.src, names)
    return names["forward"]


def _modules(step: fx.Node) -> list[str]:
    """Return the modules around a step, outermost first, and the module that it calls."""
    # torch.fx writes the second call of a module as "name@1".
    inside = [module.partition("@")[0] for module in step.meta.get("nn_module_stack", ()) if module]
    return [*inside, str(step.target)] if step.op == "call_module" and step.target not in inside else inside


def depth(module: str) -> int:
    """Return the number of modules around a module."""
    return module.count(".")


def _state(network: nn.Module, steps: Sequence[fx.Node]) -> set[int]:
    """Return the ids of the parameters and buffers that the steps use."""
    found: set[int] = set()
    for step in steps:
        if step.op == "call_module":
            module = network.get_submodule(str(step.target))
            found.update(map(id, [*module.parameters(), *module.buffers()]))
        elif step.op == "get_attr":
            parent, _, attribute = str(step.target).rpartition(".")
            found.add(id(getattr(network.get_submodule(parent), attribute)))
    return found
