"""The table of docs/testing.md, out of the patches beside this file.

    table.py             prints it
    table.py PAGE.md     fails if the page does not have it
"""

import pathlib
import re
import sys

HEAD = ["| what is broken | where | noticed by |", "|---|---|---|"]


def row_of(patch):
    lines = patch.read_text(encoding="utf-8").splitlines()
    comments = []
    for line in lines:
        if not line.startswith("# "):
            break
        comments.append(line[2:])
    files = [line[6:] for line in lines if line.startswith("+++ b/")]
    if len(comments) < 2 or not files:
        raise ValueError(f"{patch.name}: what is broken, or a test, is missing")
    tests = []
    for comment in comments[1:]:
        if not re.fullmatch(r"//[\w/]+:\w+( \w+\.\w+)?", comment):
            raise ValueError(f"{patch.name}: '{comment}' is no test")
        target, _, case = comment.partition(" ")
        tests.append(f"`{target}`" + (f" {case}" if case else ""))
    what = comments[0].rstrip(".")
    return f"| {what} | `{'`, `'.join(files)}` | {', '.join(tests)} |"


def table():
    folder = pathlib.Path(__file__).parent
    rows = [row_of(patch) for patch in folder.glob("*.patch")]
    # By place, so that what belongs together is together.
    return "\n".join(HEAD + sorted(rows, key=lambda row: row.split("|")[2:])) + "\n"


def main(arguments):
    wanted = table()
    if not arguments:
        print(wanted, end="")
        return 0
    page = pathlib.Path(arguments[0]).read_text(encoding="utf-8")
    if page.endswith("\n" + wanted):
        return 0
    print(f"{arguments[0]} does not end with this table:\n{wanted}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
