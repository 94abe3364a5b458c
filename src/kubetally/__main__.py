"""`python -m kubetally`: the command, where its script is not on the path."""

from kubetally.cli.main import main

if __name__ == "__main__":
    main()
