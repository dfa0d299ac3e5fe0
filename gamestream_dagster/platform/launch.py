"""Executes the program that a JSON file describes. The supervisor runs this file by its path, without the package.

The description is a 0600 file, so that no password is in the supervisor's configuration or on a command line.
"""

import json
import os
import pwd
import sys


def main() -> None:
    """Read the description in the first argument, change user and folder, and execute its command."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 (pathlib would double this script's start time)
        program = json.load(file)
    environment = {**os.environ, **program["environment"]}
    if program["user"] and os.geteuid() == 0:
        account = pwd.getpwnam(program["user"])
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        environment["HOME"] = account.pw_dir
    if program["directory"]:
        os.chdir(program["directory"])
    os.execvpe(program["command"][0], program["command"], environment)  # noqa: S606


if __name__ == "__main__":
    main()
