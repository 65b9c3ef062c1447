"""`python -m devtools.locales` writes the files."""

from . import main

if __name__ == "__main__":
    main()
