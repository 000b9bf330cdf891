"""The command line: reads options, calls the other packages, prints. PyTorch is imported only if a command needs it."""

import contextlib
import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from peerdistill import __version__
from peerdistill.cli import commands
from peerdistill.cli.allocator import keep_freed_memory
from peerdistill.errors import Failure, PeerdistillWarning, UserError, cause, printable, shortened, unknown_name
from peerdistill.processes import is_first_process

_HELP = """usage: peerdistill COMMAND ...

Online knowledge distillation: peers learn together, the leader is deployed alone.

commands:
{commands}

Run "peerdistill COMMAND --help" for the options of a command.
"""

_FAILURE, _USER_ERROR = 1, 2
_INTERRUPTED = 128 + signal.SIGINT
_READER_CLOSED = 128 + 13  # like a process ended by SIGPIPE, which Windows lacks
_MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
)


def entry() -> None:
    """Run the command line of this process."""
    words = sys.argv[1:]
    if words and not words[0].startswith("-"):  # `--help` and `--version` skip it and answer a tenth sooner
        keep_freed_memory()
    _make_streams_writable()
    code = main(words)
    # Nothing is left to write: a further Ctrl-C ends the process silently.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def main(words: Sequence[str]) -> int:
    """Run a command line and return its exit code.

    0 for success, 2 for a user error, 1 for a failure of the machine, such as a full disk; errors are printed as one
    sentence. Any other exception is a bug in peerdistill, and its traceback is shown.

    Args:
        words: Command and options: ``["train", "digits", "--epochs", "3"]``.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_own_warnings(warnings.showwarning)
            code = _run(list(words))
        sys.stdout.flush()  # so that a full disk is reported here, not when the interpreter exits
    except UserError as error:
        code = _complain(str(error), _USER_ERROR)
    except Failure as error:
        code = _complain(str(error), _FAILURE)
    except BrokenPipeError:
        code = _READER_CLOSED
    except OSError as error:
        named = error.filename is not None
        code = _USER_ERROR if named and error.errno not in _MACHINE_ERRORS else _FAILURE
        name = f"{shortened(os.fsdecode(error.filename), 300)}: " if named else ""
        _complain(f"{name}{cause(error)}", code)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        code = _complain(
            "out of memory: use a smaller batch, smaller images, fewer peers or a smaller network", _FAILURE
        )
    except KeyboardInterrupt:
        code = _INTERRUPTED
    _discard_unwritable_output()
    return code


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"peerdistill {__version__}\n")
        return 0
    known = commands.help_lines()
    if words[0] not in known:
        raise unknown_name("command", words[0], known)
    _require_working_directory()
    try:
        return commands.find(words[0])(words[1:])
    except SystemExit as end:  # `--help` of a command
        return int(end.code or 0)


def _help() -> str:
    lines = commands.help_lines()
    width = max(map(len, lines))
    return _HELP.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items()))


def _require_working_directory() -> None:
    try:
        os.getcwd()  # noqa: PTH109 (the question is whether it exists)
    except OSError as error:
        raise UserError("the working directory no longer exists: change to another one") from error


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether Python or PyTorch could not allocate memory; PyTorch has a separate error for GPUs only."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _print_own_warnings(show_other: Callable[..., None]) -> Callable[..., None]:
    """Return a ``showwarning`` that prints each PeerdistillWarning once, as a sentence, and others as Python does."""
    printed: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PeerdistillWarning):
            if str(message) not in printed:
                printed.add(str(message))
                tell(str(message))
        else:
            show_other(message, category, *where, **more)

    return show


def _complain(sentence: str, code: int) -> int:
    tell(sentence)
    return code


def tell(sentence: str) -> None:
    """Write a sentence to stderr, after the name of the program."""
    if not is_first_process():
        return
    with contextlib.suppress(OSError):  # if stderr is closed too, only the exit code remains
        sys.stderr.write(f"peerdistill: {printable(sentence)}\n")


def _make_streams_writable() -> None:
    """Escape characters that the terminal's encoding lacks; a closed stream discards its output."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (open to the end)
        else:
            stream.reconfigure(errors="backslashreplace")


def _discard_unwritable_output() -> None:
    """If stdout cannot be written to, discard its output: the interpreter would print a traceback on exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
