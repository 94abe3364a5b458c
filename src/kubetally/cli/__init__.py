"""The command line: one module a command. Heavy modules are imported where they are used, so that --help is quick."""
