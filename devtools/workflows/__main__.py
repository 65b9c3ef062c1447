"""`python -m devtools.workflows` writes the files."""

from . import main

if __name__ == "__main__":
    main()
