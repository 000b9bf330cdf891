"""The command line: reads configuration, calls the other rooms, prints. PyTorch is imported only by what needs it."""

import contextlib
import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from peerdistill import __version__
from peerdistill.cli.allocator import keep_freed_memory
from peerdistill.errors import Failure, PeerdistillWarning, UserError, cause, printable, shortened, unknown_name

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

_OF_THE_MACHINE, _OF_THE_USER = 1, 2
_READER_IS_GONE = 128 + 13  # as of a process that SIGPIPE ends
_MACHINE_FAULTS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
)


def entry() -> None:
    """Run the command line of this process."""
    words = sys.argv[1:]
    if words and words[0] in _COMMANDS:  # `--help` and `--version` answer without it, a tenth sooner
        keep_freed_memory()
    _let_every_character_be_written()
    code = main(words)
    # Nothing is left to write: a further Ctrl-C ends the process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def main(words: Sequence[str]) -> int:
    """Run a command line and return its exit code.

    0, or 2 for a mistake of the user's and 1 for a fault of the machine, such as a full disk, each told in one
    sentence. An exception that is neither is a mistake of ours, and its traceback is shown.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_notes(warnings.showwarning)
            code = _run(list(words))
        sys.stdout.flush()  # a full disk is told here rather than when the interpreter ends
    except UserError as error:
        code = _complain(str(error), _OF_THE_USER)
    except Failure as error:
        code = _complain(str(error), _OF_THE_MACHINE)
    except BrokenPipeError:
        code = _READER_IS_GONE
    except OSError as error:
        named = error.filename is not None
        code = _OF_THE_USER if named and error.errno not in _MACHINE_FAULTS else _OF_THE_MACHINE
        name = f"{shortened(os.fsdecode(error.filename), 300)}: " if named else ""
        _complain(f"{name}{cause(error)}", code)
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        code = _complain(
            "the memory is not enough: smaller batches, images, peers or networks need less", _OF_THE_MACHINE
        )
    except KeyboardInterrupt:
        code = 130
    _drop_what_cannot_be_written()
    return code


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_HELP)
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"peerdistill {__version__}\n")
        return 0
    if words[0] not in _COMMANDS:
        raise unknown_name("command", words[0], _COMMANDS)
    _check_working_directory()
    command: Callable[[list[str]], int] = getattr(import_module("peerdistill.cli.commands"), words[0].replace("-", "_"))
    try:
        return command(words[1:])
    except SystemExit as end:  # `--help` of a command
        return int(end.code or 0)


def _check_working_directory() -> None:
    try:
        os.getcwd()  # noqa: PTH109 (what is asked is whether there is one)
    except OSError as error:
        raise UserError("the working directory does not exist any more: change to another one") from error


def _is_lack_of_memory(error: Exception) -> bool:
    """Return whether Python or PyTorch, which has an error of its own for it on a GPU alone, could not get memory."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _tell_notes(show_other: Callable[..., None]) -> Callable[..., None]:
    """Return what shows a warning: of our own notes the sentence, once, of others what Python shows."""
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PeerdistillWarning):
            if str(message) not in told:
                told.add(str(message))
                tell(str(message))
        else:
            show_other(message, category, *where, **more)

    return show


def _complain(sentence: str, code: int) -> int:
    tell(sentence)
    return code


def tell(sentence: str) -> None:
    """Write a sentence to stderr, under the name of the program."""
    with contextlib.suppress(OSError):  # where stderr is closed too, the exit code is all that can be told
        sys.stderr.write(f"peerdistill: {printable(sentence)}\n")


def _let_every_character_be_written() -> None:
    """Let what the terminal's encoding lacks be written as escapes, and nothing at all where a stream is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (open to the end)
        else:
            stream.reconfigure(errors="backslashreplace")


def _drop_what_cannot_be_written() -> None:
    """Let the interpreter find nothing left to write where stdout can't be written to: it would show a traceback."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
