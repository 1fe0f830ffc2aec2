"""Makes lines for people out of what llvm-cov prints.

coverage_lines.py SUMMARY FOLDER: how many lines of the sources in FOLDER and
below, tests left out, were run; files that were not run wholly are listed.
coverage_lines.py --missed LISTING FOLDER: every line of them that was not run.
LISTING is what `llvm-cov show` prints, - for standard input.
"""

import json
import re
import sys


def is_source(path, folder):
    """Whether a path, as the compiler was given it, is one of ours."""
    inside = re.search(r"(?:^|/)" + re.escape(folder) + "/", path)
    name = path.rsplit("/", 1)[-1]
    if not inside or re.search(r"(?:^|/)tests/", path):
        return False
    return not re.search(r"_test(_|\.)|^test_|_testing\.", name)


def short(path, folder):
    return path[path.index(folder + "/"):]


def summarise(path, folder):
    with open(path, encoding="utf-8") as file:
        files = json.load(file)["data"][0]["files"]
    rows = [(short(entry["filename"], folder), entry["summary"]["lines"])
            for entry in files if is_source(entry["filename"], folder)]
    covered = sum(lines["covered"] for _, lines in rows)
    count = sum(lines["count"] for _, lines in rows)
    percent = 100 * covered / count if count else 0
    print(f"{folder}: {percent:.1f} % of {count} lines")
    for name, lines in sorted(rows, key=lambda row: row[1]["percent"]):
        if lines["covered"] < lines["count"]:
            print(f"  {lines['percent']:5.1f} %  {name}, "
                  f"{lines['count'] - lines['covered']} lines")


def missed(listing, folder):
    name = None
    for line in listing:
        header = re.match(r"^(\S.*\.(?:cc|h|inc)):$", line)
        if header:
            name = header[1] if is_source(header[1], folder) else None
            continue
        cell = re.match(r"^\s*(\d+)\|\s*0\|(.*)$", line)
        if name and cell:
            print(f"  {short(name, folder)}:{cell[1]}:{cell[2]}")


def main():
    if sys.argv[1] == "--missed":
        missed(sys.stdin if sys.argv[2] == "-" else
               open(sys.argv[2], encoding="utf-8"), sys.argv[3])
    else:
        summarise(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
