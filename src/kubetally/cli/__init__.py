"""The command line: one module a command. What is heavy is imported where it is used, so that --help is quick."""
