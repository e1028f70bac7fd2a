"""`berth`, the command. What a user got wrong is told in one sentence, with exit code 2."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import click

from berth.interrupt import EXIT_CODE as INTERRUPTED


def _version() -> str:
    try:
        return version("berth")
    except PackageNotFoundError:
        return "(not installed)"


COMMANDS = {
    "alarm": "berth.cli.alarm",
    "demo": "berth.cli.demo",
    "dev": "berth.cli.dev",
    "events": "berth.cli.events",
    "explain": "berth.cli.explain",
    "exec": "berth.cli.exec",
    "fit": "berth.cli.fit",
    "group": "berth.cli.group",
    "host": "berth.cli.host",
    "logs": "berth.cli.logs",
    "reset": "berth.cli.reset",
    "metric": "berth.cli.metric",
    "policy": "berth.cli.policy",
    "schedule": "berth.cli.schedule",
    "stop": "berth.cli.stop",
    "target-group": "berth.cli.target_group",
    "watch": "berth.cli.watch",
}
"""Name of the command and its module, which has it under the same name, `_` for `-`."""


class _LazyGroup(click.Group):
    """Loads a command's module when the command is needed: `berth dev` starts without what the demo draws with."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command


@click.group(cls=_LazyGroup, context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.version_option(_version(), message="berth %(version)s")
def berth() -> None:
    """Amazon ECS on a laptop, with real containers: see what happens while tasks stop."""


def main() -> None:
    """Run the command line and exit."""
    try:
        sys.exit(berth.main(prog_name="berth", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        sentence = error.format_message()
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"{sentence} See `{command} --help`." if command else sentence, err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
