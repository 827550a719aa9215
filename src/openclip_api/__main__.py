"""The process of a command."""

from typing import NoReturn

from .ending import end, leave_on_ctrl_c, open_output


def script() -> NoReturn:
    """Run the command that sys.argv names, and end with its exit code."""
    open_output()
    leave_on_ctrl_c()
    from .cli import main

    try:
        code = main()
    except SystemExit as error:  # of argparse
        code = error.code if isinstance(error.code, int) else 1
    end(code)


if __name__ == "__main__":
    script()
