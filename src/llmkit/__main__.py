"""`python -m llmkit`: the command line without the installed script."""

from llmkit.cli.main import main

if __name__ == "__main__":
    main()
