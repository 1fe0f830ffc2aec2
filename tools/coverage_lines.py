"""Makes lines for people out of what llvm-cov prints.

coverage_lines.py SUMMARY FOLDER FOR_TESTS: how many lines of the sources in
FOLDER and below were run; files that were not run wholly are listed.
coverage_lines.py --missed LISTING FOLDER FOR_TESTS: every line of them that was
not run. LISTING is what `llvm-cov show` prints, - for standard input. FOR_TESTS
is a file that names, one a line, the sources that are of tests only.
"""

import json
import re
import sys


def name_of(path):
    """A path as llvm-cov prints it, from the root of the workspace on."""
    return path.removeprefix("/proc/self/cwd/")


def is_source(path, folder, for_tests):
    """Whether a path, as llvm-cov prints it, is one of the program's."""
    name = name_of(path)
    return name.startswith(folder + "/") and name not in for_tests


def summarise(path, folder, for_tests):
    with open(path, encoding="utf-8") as file:
        files = json.load(file)["data"][0]["files"]
    rows = [(name_of(entry["filename"]), entry["summary"]["lines"])
            for entry in files
            if is_source(entry["filename"], folder, for_tests)]
    covered = sum(lines["covered"] for _, lines in rows)
    count = sum(lines["count"] for _, lines in rows)
    percent = 100 * covered / count if count else 0
    print(f"{folder}: {percent:.1f} % of {count} lines")
    for name, lines in sorted(rows, key=lambda row: row[1]["percent"]):
        if lines["covered"] < lines["count"]:
            print(f"  {lines['percent']:5.1f} %  {name}, "
                  f"{lines['count'] - lines['covered']} lines")


def missed(listing, folder, for_tests):
    name = None
    for line in listing:
        header = re.match(r"^(\S.*\.(?:cc|h|inc)):$", line)
        if header:
            name = (name_of(header[1])
                    if is_source(header[1], folder, for_tests) else None)
            continue
        cell = re.match(r"^\s*(\d+)\|\s*0\|(.*)$", line)
        if name and cell:
            print(f"  {name}:{cell[1]}:{cell[2]}")


def main():
    *what, folder, names = sys.argv[1:]
    with open(names, encoding="utf-8") as file:
        for_tests = set(file.read().split())
    if what[0] == "--missed":
        missed(sys.stdin if what[1] == "-" else
               open(what[1], encoding="utf-8"), folder, for_tests)
    else:
        summarise(what[0], folder, for_tests)


if __name__ == "__main__":
    main()
