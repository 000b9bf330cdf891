"""Results as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from docstring_parser import parse as parse_docstring
from docstring_parser import parse_from_object as parse_attributes
from rich import box
from rich.table import Table
from rich.text import Text

from peerdistill import methods as method_catalog
from peerdistill.config.kinds import KINDS
from peerdistill.config.recipes import in_words, set_by_recipes
from peerdistill.fewshot.config import column_of
from peerdistill.study.form_names import IN_PYTORCH, form_name

if TYPE_CHECKING:
    from peerdistill.deploy import Prediction
    from peerdistill.runs import RunReport

_FEW_SHOT = {
    True: "the loss above on classifiers over all training classes, plus the prototypical loss of every peer",
    False: "the prototypical loss of every peer replaces the cross-entropy",
}
_BRANCHES = {
    "early": "after layer1 of a ResNet, layer2 of a VGG, block1 of a DenseNet or HCGNet",
    "late": "after layer2 of a ResNet, layer3 of a VGG, block2 of a DenseNet or HCGNet",
}
_TIMED = ("peerdistill", "torch", "onnxruntime")
_WORST = 3  # classes that are shown
_WAYS = "ways"  # a key of evaluations over episodes only
_EPOCHS = {"last": "last epoch", "best": "best epoch on validation"}


def result(values: Mapping[str, Any]) -> Table:
    """Return the table of a run's result: the last epoch, and the best epoch on validation images if there is one."""
    split = "test" if "test" in values["last"] else "val" if "val" in values["last"] else None
    if split is None:
        return Table("trained; the data has no images to evaluate on")
    table = Table(title=f"top-1 accuracy on {_evaluation_set(values['last'][split], split)}")
    found = {which: values[which] for which in ("last", "best") if values[which]}
    columns = [f"{_EPOCHS[which]} ({value['epoch']})" for which, value in found.items()]
    return _accuracies(table, columns, [value[split] for value in found.values()])


def evaluations(values: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of a run's checkpoints on one evaluation set, one column each."""
    table = Table(title=f"top-1 accuracy on {_counted(values[0], values[0]['split'])}")
    return _accuracies(table, [f"{_EPOCHS[value['checkpoint']]}" for value in values], values)


def classes(report: "RunReport") -> str:
    """Return lines with the balanced accuracies and the classes with the lowest recall."""
    balanced = (f"{name} {100 * found.balanced_accuracy:.2f} %" for name, found in report.predictors.items())
    lines = [f"balanced accuracy, {_EPOCHS[report.checkpoint]}: {', '.join(balanced)}"]
    leader = report.report.leader
    worst = [
        f"{report.class_names[k]}: {100 * leader.rates.recall[k]:.1f} % of {leader.rates.support[k]} images"
        for k in leader.worst_classes(_WORST)
    ]
    if worst:
        lines.append(f"lowest recall of the leader: {'; '.join(worst)}")
    return "\n".join(lines)


def episodes(values: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of one checkpoint of a few-shot run, one column per shape of episodes."""
    first = values[0]
    table = Table(
        title=f"top-1 accuracy, {first['episodes']} {first['split']} episodes, {_EPOCHS[first['checkpoint']]}"
    )
    return _accuracies(table, [_shape(value) for value in values], values)


def comparison(results: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of two leaders on the same episodes, one row per shape of episodes."""
    table = Table("", title=f"top-1 accuracy of two leaders on the same {results[0]['episodes']} episodes")
    for name in ("first", "second", "second minus first"):
        table.add_column(name, justify="right")
    for result in results:
        first, second, difference = (_percent(result[name]) for name in ("first", "second", "difference"))
        table.add_row(_shape(result), first, second, Text(difference, style="bold"))
    return table


def bench(value: Mapping[str, Any]) -> Table:
    """Return the table of a run's networks in every form: size, accuracy, latency and speed relative to PyTorch."""
    evaluated, networks = value["evaluated"], value["networks"]
    batches = list(next(iter(next(iter(networks.values())).values()))["milliseconds"])
    on = f"top-1 accuracy on {_counted(evaluated, evaluated['split'])}" if evaluated else "no images to evaluate on"
    # Text, not str: the name of a folder may look like markup.
    table = Table(
        "", "", title=Text(f"{value['run']}, {_EPOCHS[value['checkpoint']]} ({value['epoch']})\n{on}", "table.title")
    )
    for name in ("size", *(["accuracy"] if evaluated else []), *(f"batch {batch}" for batch in batches)):
        table.add_column(name, justify="right")
    for what, forms in networks.items():
        in_pytorch = next(iter(forms.values()))["milliseconds"]
        for name, form in forms.items():
            found = [f"{form['bytes'] / 1e6:.2f} MB"]
            if evaluated:
                found.append(_percent({key: part for key, part in form["accuracy"].items() if key != "top5"}))
            for batch in batches:
                took = form["milliseconds"][batch]
                found.append(f"{took:.2f} ms {in_pytorch[batch] / took:4.1f} x")
            table.add_row(what if name in IN_PYTORCH else "", form_name(name), *found)
        table.add_section()
    table.caption, table.caption_justify = Text(_conditions(value), "table.caption"), "left"
    return table


def _conditions(value: Mapping[str, Any]) -> str:
    """Return on what machine networks were timed, and how."""
    machine = value["machine"]
    instructions = machine["int8_instructions"]
    int8 = "unknown" if instructions is None else ", ".join(instructions) or "none"
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if name in _TIMED)
    return (
        f"{machine['processor']}, cores: {machine['cores']}, threads of PyTorch and of onnxruntime: "
        f"{machine['threads']}, int8 instructions: {int8}, load average: {machine['load_average']}; {versions}; "
        f"time per batch: median of {value['repeats']} bursts, in turns after a warm-up"
    )


def predictions(found: "Sequence[Prediction]") -> str:
    """Return one line per picture; a table would cut long paths to the width of the terminal."""
    width = max((len(str(prediction.path)) for prediction in found), default=0)
    lines = []
    for prediction in found:
        pairs = zip(prediction.classes, prediction.probabilities, strict=True)
        classes = ", ".join(f"{name} {probability:.1%}" for name, probability in pairs)
        lines.append(f"{prediction.path!s:<{width}}  {classes}")
    return "\n".join(lines)


def methods() -> Table:
    """Return the table of all methods."""
    table = Table(
        "name",
        "loss; paper; sharings; modules trained besides the peers; deployed network",
        box=box.SIMPLE_HEAD,
        caption="cost of a training step with each method: docs/performance.md, section Methods",
        caption_justify="left",
    )
    for name, card in method_catalog.METHODS.items():
        sharings = ", ".join(card.sharings)
        facts = f"{card.paper}; {sharings}; trained besides the peers: {card.trains}; deployed: {card.deployed}"
        table.add_row(name, Text(f"{card.loss}\n{facts}"))
    return table


def method(name: str) -> Table:
    """Return the description of one method, with the defaults and meanings of its options.

    Raises:
        UserError: If the name is unknown.
    """
    card = method_catalog.find(name)
    documentation = parse_docstring(card.documentation)
    title = f"{name}: {documentation.short_description or '-'}"
    table = Table(title=title, show_header=False, box=box.SIMPLE, title_justify="left")
    facts = {
        "loss": card.loss,
        "choose it if": card.choose or "-",
        "paper": card.paper,
        "sharings": f"{', '.join(card.sharings)} (default: {card.sharings[0]})",
        "cohort": ", ".join(f"{key} {value}" for key, value in card.cohort.items()) or "-",
        "branches start": _branches(card),
        "trained besides the peers": card.trains,
        "ensemble": card.ensemble,
        "few-shot": _FEW_SHOT[card.uses_logits],
        "deployed": card.deployed,
        "differs from the paper": card.differs or "-",
    }
    for fact, text in facts.items():
        table.add_row(fact, Text(text))
    table.add_section()
    meanings = {param.arg_name: " ".join((param.description or "").split()) for param in documentation.params}
    recipes = [(kind, set_by_recipes(name, kind)) for kind in KINDS.values()]
    for option in method_catalog.options_of(name):
        for label, default, meaning in _option_rows(option.name, option.default, meanings.get(option.name, "")):
            changed = [in_words(found.get(label, {}), default, kind) for kind, found in recipes]
            table.add_row(f"--{label} {default}", Text("\n".join([meaning, *filter(None, changed)])))
    return table


def _branches(card: method_catalog.MethodCard) -> str:
    """Return after which stage the branches of a method start, and the source of that choice."""
    if not card.branches:
        return "-"
    branch_at = card.cohort.get("branch_at", "early")
    return f"{branch_at}, {_BRANCHES[branch_at]}. Source: {card.branches}"


def _option_rows(name: str, default: Any, meaning: str) -> Iterator[tuple[str, Any, str]]:
    """Yield name, default and meaning of an option, or of every option of a group."""
    if not is_dataclass(default):
        yield name, default, meaning
        return
    kinds = [kind for kind in reversed(type(default).__mro__) if is_dataclass(kind)]  # a subclass overrides its bases
    attributes = [attribute for kind in kinds for attribute in parse_attributes(kind).params]
    documented = {attribute.arg_name: attribute.description or "" for attribute in attributes}
    for member in fields(default):
        yield f"{name}.{member.name}", getattr(default, member.name), documented.get(member.name, "")


def _accuracies(table: Table, columns: Sequence[str], values: Sequence[Mapping[str, Any]]) -> Table:
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    peers = len(values[0]["peers"])
    for number in range(peers - 1):
        table.add_row(f"peer {number}", *(_percent(value["peers"][number]) for value in values))
    table.add_row("leader", *(_percent(value["leader"]) for value in values), style="bold")
    if peers > 1:
        table.add_row("ensemble", *(_percent(value["ensemble"]) for value in values))
    if "ema" in values[0]:
        table.add_row("EMA of the leader", *(_percent(value["ema"]) for value in values))
    if "average" in values[0]:
        table.add_row("average", *(_percent(value["average"]) for value in values))
    return table


def _percent(accuracy: Mapping[str, float]) -> str:
    top5 = f" (top-5 {accuracy['top5']:.2f} %)" if "top5" in accuracy else ""
    interval = f" ± {accuracy['interval95']:.2f}" if "interval95" in accuracy else ""
    return f"{accuracy['top1']:.2f}{interval} %{top5}"


def _evaluation_set(value: Mapping[str, Any], split: str) -> str:
    """Return the name of the evaluation set: images, or episodes."""
    name = {"val": "validation", "train": "training", "all": "other"}.get(split, split)
    return f"{value['episodes']} {name} episodes, {_shape(value)}" if _WAYS in value else f"{name} images"


def _counted(value: Mapping[str, Any], split: str) -> str:
    """Return the name of the evaluation set with its number of images or episodes."""
    name = _evaluation_set(value, split)
    return name if _WAYS in value else f"{value['samples']} {name}"


def _shape(value: Mapping[str, Any]) -> str:
    return column_of(value[_WAYS], value["shots"])
