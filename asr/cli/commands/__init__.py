"""The subcommands, a file per group of the help: one short function each; nothing is computed here."""
