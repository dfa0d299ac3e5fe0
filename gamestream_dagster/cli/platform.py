import typer


def register(app: typer.Typer) -> None:
    """Filled by the part's owner."""
