"""Show why a run is as good as it is: features, diversity, gradients, calibration, hardest images."""

from collections.abc import Mapping
from typing import Any

from jsonargparse import Namespace
from rich.table import Table
from rich.text import Text

from peerdistill.cli.options import add_evaluation, add_json, add_places, folder_option, open_run
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.deploy.what import LEADER
from peerdistill.study.analyses import analyse_runs, find, listed
from peerdistill.study.analyses.base.analysis import FIGURES, NETWORKS, REASON
from peerdistill.study.run_names import distinguished

HELP_ORDER = 55


def run(words: list[str]) -> int:
    """Run ``peerdistill analyse RUN... [options]``."""
    parser = make_parser("analyse", "RUN... [options]", str(__doc__))
    parser.add_argument("run", type=str, nargs="+", help="Folders of runs. Further runs are compared with the first.")
    parser.add_argument(
        "--only", type=str | None, default=None, help=f"Analyses, separated by commas: {listed()} (default: all)."
    )
    parser.add_argument(
        "--what",
        type=str,
        default=LEADER,
        help="Network that is examined: leader (default), ensemble (with the features of all peers), peer:K, ema "
        "(moving average of the leader's weights) or average (mean of the peers' weights).",
    )
    add_evaluation(parser)
    add_json(parser)
    for option, content in (("csv", "the numbers of each analysis"), ("png", "a picture of each analysis")):
        help = f"Folder to write to: {content}. Existing files of the same name are replaced."
        parser.add_argument(f"--{option}", type=str | None, default=None, metavar="DIR", help=help)
    add_places(parser)
    options = parse_words(parser, words, kind="option of analyse")
    runs = [open_run(Namespace(**{**options.as_dict(), "run": path})) for path in options.run]
    names = _names(options)
    csv, png = (folder_option(options, name) for name in ("csv", "png"))
    with console(stderr=True).status("analysing") as status:
        how = {"what": options.what, "device": options.device, "tell": status.update}
        found = analyse_runs(runs, names, options.checkpoint, options.split, **how)
        written = [] if csv is None else found.write_csv(csv)
        written += [] if png is None else found.draw(png)
    if options.json:
        print_json(found.as_dict())
        return 0
    for name in found.names:
        _print(name, found.of(name))
    for path, comparisons in found.compared.items():
        console().print(f"first: {options.run[0]}\nsecond: {path}", soft_wrap=True)
        for name, result in comparisons.items():
            _print(f"{name}, first and second", {path: result})
    for file in written:
        console().print(f"wrote {file}", soft_wrap=True)
    return 0


def _names(options: Namespace) -> list[str] | None:
    """Return the analyses given by ``--only``; None for all."""
    if options.only is None:
        return None
    names = [name.strip() for name in options.only.split(",")]
    for name in names:
        find(name)
    return names


def _print(name: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the numbers of one analysis as a table: a column for each run or, of one run, for each network."""
    for run, result in results.items():
        if REASON in result:
            console().print(f"{name}: {run}: {result[REASON]}", soft_wrap=True)
    found = {run: result for run, result in results.items() if FIGURES in result}
    if not found:
        return
    columns = dict(zip(distinguished(list(found)), (result[FIGURES] for result in found.values()), strict=True))
    if len(found) == 1:
        (result,) = found.values()
        columns = result.get(NETWORKS) or columns
    table = Table("", title=Text(name, "table.title"))
    for column in columns:
        table.add_column(Text(column), justify="right")
    for figure in dict.fromkeys(figure for figures in columns.values() for figure in figures):
        table.add_row(figure, *(_in_words(figures.get(figure)) for figures in columns.values()))
    console().print(table)


def _in_words(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
