"""`python -m goodfit`: the command line."""

from goodfit.cli import main

if __name__ == "__main__":
    main()
