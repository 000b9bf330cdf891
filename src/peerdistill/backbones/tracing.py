"""The forward pass of any network as a list of steps, found by symbolic tracing.

Only the containers are opened: a block stays one call of its own module, so that its Python code runs as it is, in
training as in evaluation, whatever it contains.
"""

from collections.abc import Callable, Iterable, Sequence

from jaxtyping import Float
from torch import Tensor, fx, nn

from peerdistill.errors import UserError

# A module that holds more of a network's parameters is looked into, as every sequence is.
_LARGE = 1 / 4

Program = Callable[[nn.Module, Float[Tensor, "batch ..."]], Float[Tensor, "batch ..."]]
"""A part of a forward pass: of a network, any with the structure of the traced one, and that part's input."""


class UntraceableError(UserError):
    """The forward pass does something that can't be written as a list of steps."""


class _ContainerTracer(fx.Tracer):
    """Traces the first argument of ``forward``, the others at their defaults, and looks into chosen modules only."""

    def __init__(self, opened: Iterable[str]):
        super().__init__()
        self.opened = set(opened)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m
        return module_qualified_name not in self.opened

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        del is_module, concrete_args
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]


def trace(network: nn.Module, inside: str) -> fx.Graph:
    """Return the graph of the forward pass, for the mode (training or evaluation) that the network is in.

    Every node says in ``meta["nn_module_stack"]`` which modules it lies in.

    Args:
        network: Any network that takes images.
        inside: A module whose call must be seen: all that it lies in is opened.

    Raises:
        UntraceableError: Where the forward pass depends on values, or its result is no single tensor.
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


def _traced(network: nn.Module, opened: set[str]) -> fx.Graph:
    try:
        graph = _ContainerTracer(opened).trace(network)
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        raise UntraceableError(" ".join(str(error).split())) from error
    # A module may have state that its call changes; functions whose result nobody uses are checks of shapes.
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "call_module", "output"))
    if any(node.op == "get_attr" and str(node.target).startswith("_tensor_constant") for node in graph.nodes):
        raise UntraceableError("its forward pass makes tensors that belong to no module")
    if not isinstance(_result(graph), fx.Node):
        raise UntraceableError("its forward pass returns more than one tensor")
    return graph


def _result(graph: fx.Graph):
    return graph.output_node().args[0]


def _calls(graph: fx.Graph) -> list[str]:
    return [str(node.target) for node in graph.nodes if node.op == "call_module"]


def _is_container(network: nn.Module, name: str) -> bool:
    module = network.get_submodule(name)
    if next(module.children(), None) is None:
        return False
    return isinstance(module, nn.Sequential) or _size(module) > _LARGE * _size(network)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def program(nodes: Sequence[fx.Node], entry: fx.Node, exit: fx.Node) -> Program:
    """Return the part of a traced forward pass that computes ``exit`` from ``entry`` by ``nodes``."""
    graph = fx.Graph()
    copies = {entry: graph.placeholder("x")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[exit])
    source = graph.python_code("self")
    names = dict(source.globals)
    exec(source.src, names)
    return names["forward"]
