"""The error of a user: one sentence, with the fix in it. `berth` prints it and exits with code 2."""

import click

EXIT_CODE = 2


class UserError(click.ClickException):
    """Something that the user can put right. Nothing has been started when it is raised before a run."""

    exit_code = EXIT_CODE

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        """One sentence on stderr."""
        click.echo(self.format_message(), err=True)
