"""`python -m copypump`: the command line."""

from copypump.cli import main

if __name__ == "__main__":
    main(prog_name="copypump")
