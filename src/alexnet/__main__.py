"""`python -m alexnet` is `alexnet`."""

from alexnet.cli.main import main

if __name__ == "__main__":
    main()
