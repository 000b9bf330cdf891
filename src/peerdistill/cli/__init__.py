"""The command line: reads configuration, calls the other rooms, prints. PyTorch is imported only by what needs it."""

import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from peerdistill import __version__
from peerdistill.cli.allocator import keep_freed_memory
from peerdistill.errors import Failure, Note, UserError, unknown_name

# Command -> its line of help; each is a function of the same name, "-" as "_", in `peerdistill.cli.commands`.
_COMMANDS = {
    "demo": "train on digits, evaluate, export and predict: see it work in about a minute",
    "train": "train peers on a folder of images, CIFAR, arrays or digits",
    "fewshot": "train prototypical peers on episodes: Omniglot, miniImageNet, CIFAR-FS, arrays or a folder",
    "evaluate": "accuracy of every peer, the leader and the ensemble of a run",
    "compare": "two few-shot runs in the same episodes, with the interval of their difference",
    "export": "write the leader of a run as safetensors, ONNX or pt2",
    "bench-leader": "size, accuracy and latency of a run's leader in PyTorch, ONNX and int8 ONNX",
    "predict": "classify pictures with an exported leader or a run, or by examples with an encoder",
    "methods": "the methods, or all about one of them",
}

_HELP = f"""usage: peerdistill COMMAND ...

Online knowledge distillation: peers learn together, the leader is deployed alone.

commands:
{chr(10).join(f"  {name:<12} {text}" for name, text in _COMMANDS.items())}

peerdistill COMMAND --help shows a command's options.
"""


def entry() -> None:
    """Run the command line of this process."""
    words = sys.argv[1:]
    if words and words[0] in _COMMANDS:  # `--help` and `--version` answer without it, a tenth sooner
        keep_freed_memory()
    code = main(words)
    # Nothing is left to write: a further Ctrl-C ends the process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def main(words: Sequence[str]) -> int:
    """Run a command line and return its exit code.

    It is 0, 2 for a mistake of the user's, or 1 for a full disk and the like. Both are told in one sentence.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_notes(warnings.showwarning)
            return _run(list(words))
    except UserError as error:
        return _complain(str(error))
    except Failure as error:
        return _complain(str(error), code=1)
    except OSError as error:
        if error.filename is None:
            raise
        return _complain(f"{error.filename}: {(error.strerror or str(error)).lower()}")
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_HELP)
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"peerdistill {__version__}\n")
        return 0
    if words[0] not in _COMMANDS:
        raise unknown_name("command", words[0], _COMMANDS)
    command: Callable[[list[str]], int] = getattr(import_module("peerdistill.cli.commands"), words[0].replace("-", "_"))
    try:
        return command(words[1:])
    except SystemExit as end:  # `--help` of a command
        return int(end.code or 0)


def _tell_notes(show_other: Callable[..., None]) -> Callable[..., None]:
    """Return what shows a warning: of our own notes the sentence, of others what Python shows."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Note):
            sys.stderr.write(f"peerdistill: {message}\n")
        else:
            show_other(message, category, *where, **more)

    return show


def _complain(sentence: str, code: int = 2) -> int:
    sys.stderr.write(f"peerdistill: {sentence}\n")
    return code
