"""Run `python -m invokeq.cli`: the `invokeq` command of this interpreter."""

from invokeq.cli import main

if __name__ == "__main__":
    main()
