"""`python -m tinyrefinery`: the command line."""

from tinyrefinery.cli.main import main

if __name__ == "__main__":
    main()
