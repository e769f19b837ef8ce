"""How it is run: the `gristmill` command and its subcommands; recipe to Beam pipeline to release."""
