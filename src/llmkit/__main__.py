"""`python -m llmkit`, so that `accelerate launch -m llmkit pretrain ...` works."""

from llmkit.cli.main import main

if __name__ == "__main__":
    main()
