"""The command line: `minigen --help`."""

from minigen.cli.app import main
