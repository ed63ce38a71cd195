"""The command line. A command's module is imported when it is called; `--help` loads no torch, no NumPy."""

from __future__ import annotations

import importlib
import os
import sys

import click

from dmlbench import __version__
from dmlbench.errors import DmlbenchError

INTERRUPTED = 130

#: Command: its one line of help, written here so that listing commands imports none of them.
COMMANDS = {
    "run": "Train and score methods under a protocol.",
    "compare": "Say how two methods differ, seed by seed.",
    "leaderboard": "Collect records, render tables, check both.",
    "score": "Score embeddings from files.",
    "list": "List what is on offer.",
    "show": "Show one thing in full: settings, names it asks for, rules.",
    "new": "Write a plugin package of your own that works.",
    "check": "Check a component against what its kind promises.",
    "data": "Prepare and verify data sets.",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # `list` is a module of this package

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"dmlbench.cli.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dmlbench")
@click.option("--strict-plugins", is_flag=True, help="Refuse to start while any installed plugin is faulty.")
def cli(strict_plugins: bool) -> None:
    """A benchmark harness for deep metric learning.

    \b
    Example:
      dmlbench run multi-similarity contrastive --profile quick
    """
    if strict_plugins:
        from dmlbench.registry.registry import registry

        registry().refuse_faults()


def main(arguments: list[str] | None = None) -> None:
    """The console script: errors become one clear message and the right exit status."""
    try:
        status = cli.main(arguments, standalone_mode=False)
    except click.exceptions.Exit as ended:
        status = ended.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except DmlbenchError as error:
        click.echo(f"error: {error if sys.stderr.isatty() else error.one_line()}", err=True)
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; a run continues when the command is given again", err=True)
        # After a Ctrl-C during an `exec`, of which imports are full, `python -m` ends itself by the signal,
        # caught or not; another one makes it forget.
        exec("")
        status = INTERRUPTED
    except BrokenPipeError:  # the reader has gone, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        click.echo(
            f"error: {error.strerror or error}\n  in   {error.filename or 'the file system'}", err=True
        )
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
