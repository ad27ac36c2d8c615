"""`aecodec completion`."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in a shell.

    \b
    bash: aecodec completion bash >> ~/.bashrc
    zsh:  aecodec completion zsh >> ~/.zshrc
    fish: aecodec completion fish > ~/.config/fish/completions/aecodec.fish
    """
    from click.shell_completion import get_completion_class

    from .main import main

    found = get_completion_class(shell)
    assert found is not None
    # Not `source()`, which runs bash to ask for its version.
    made = found(main, {}, "aecodec", "_AECODEC_COMPLETE")
    click.echo(made.source_template % made.source_vars())
