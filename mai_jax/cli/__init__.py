"""The command line: `mai <command>`, one file per command, and what the commands share."""
