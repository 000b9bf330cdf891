"""What ``peerdistill cost`` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from peerdistill.cli.printing import in_bytes
from peerdistill.study.cost.units import in_units

_PEERS = "peers"


def tables(values: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of a cost: its multiply-adds, and everything else.

    Args:
        values: The result of ``Cost.as_dict``.
    """
    yield _multiply_adds(values)
    table = Table(show_header=False, box=box.SIMPLE)
    for name, text in _rows(values):
        table.add_row(name, Text(text))
    yield table


def _multiply_adds(values: Mapping[str, Any]) -> Table:
    found = values["multiply_adds"]
    batch = found["batch"]
    table = Table("multiply-adds", box=box.SIMPLE)
    for name in ("of an image", f"of {batch} images"):
        table.add_column(name, justify="right")

    def row(name: str, number: int, style: str = "") -> None:
        if number:
            table.add_row(Text(name), in_units(number / batch), in_units(number), style=style)

    row("leader alone, forward", found["network"])
    row("leader alone, backward", found["network_backward"])
    table.add_section()
    row("peers, forward", found["forward"][_PEERS])
    for name, number in found["forward"].items():
        if name != _PEERS:
            row(f"{name}, forward", number)
    row("peers, backward", found["peers_backward"])
    row("method, backward", found["method_backward"])
    row("all", found["total"], style="bold")
    return table


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sizes = values["sizes"]
    names = list(dict.fromkeys(values["backbones"]))
    yield (
        "network",
        f"{values['method']}: {len(values['backbones'])} x {', '.join(names)}, copies of each stage "
        f"{list(values['copies'])}",
    )
    side, channels = sizes["image_size"], "RGB" if sizes["channels"] == 3 else "grey"
    yield "data", f"{sizes['samples']:,} images of {side} x {side}, {channels}, {sizes['classes']:,} classes"
    batches = values["multiply_adds"]["batch"], values["accumulate"]
    alone = f"; in {values['leader_steps']:,} of them only the leader learns" if values["leader_steps"] else ""
    yield "steps", f"{values['steps']:,} in {values['epochs']} epochs, {batches[0] * batches[1]} images each{alone}"
    yield (
        "whole training",
        f"{in_units(values['training'])} multiply-adds, {values['ratio']:.2f} times those of the leader alone",
    )
    parameters = values["parameters"]
    teacher = f"; teacher {parameters['teacher']:,}" if parameters["teacher"] else ""
    yield (
        "parameters",
        f"{parameters['leader']:,} deployed; {parameters['cohort'] + parameters['method']:,} trained "
        f"(peers {parameters['cohort']:,}, method {parameters['method']:,}){teacher}",
    )
    yield "memory", ", ".join(_memory(values["memory"]))
    if values["timing"] is not None:
        yield "time of a step", _time(values["timing"])


def _memory(memory: Mapping[str, Any]) -> Iterator[str]:
    yield f"{in_bytes(memory['total'])} (computed, in float32)"
    yield f"activations {in_bytes(memory['activations'])}"
    yield from (f"buffers of {name} {in_bytes(size)}" for name, size in memory["buffers"].items())
    for name in ("weights", "teacher", "gradients"):
        if memory[name]:
            yield f"{name} {in_bytes(memory[name])}"
    state = memory["optimizer"]
    yield "optimizer unknown" if state is None else f"optimizer {in_bytes(state)}"


def _time(timing: Mapping[str, Any]) -> str:
    computed = (
        f"{timing['computed']:.3g} s computed, at the {in_units(timing['per_second'])} multiply-adds per second of the "
        f"leader alone with {timing['network_batch']} images ({timing['device']}, threads: {timing['threads']})"
    )
    if timing["measured"] is None:
        return f"{computed}; not measured: {timing['reason']}"
    return f"{timing['measured']:.3g} s measured; {computed}"
