"""Dumps images as text and as JSON and judges what comes out.

tool_dump_test.py PROGRAM IMAGE...
"""

import json
import subprocess
import sys

KINDS = {
    "header", "extension", "extensions-end", "luks-header", "l1-table",
    "l2-table", "refcount-table", "refcount-block", "snapshot", "bitmap",
    "bitmap-table"
}


# Tens of thousands of snapshots make half a gigabyte of text.
WITHOUT_SNAPSHOTS = ("header,extensions,refcount-table,refcount-blocks,"
                     "bitmaps")


def dump(program, image, form):
    crowded = "snapshot-table-too-large" in image
    what = WITHOUT_SNAPSHOTS if crowded else "all"
    return subprocess.run(
        [program, "dump", "--what=" + what, "--output=" + form, image],
        capture_output=True,
        timeout=60,
        check=False)


def problems_with(program, image):
    """Yields what is wrong with the dumps of one image."""
    with open(image, "rb") as file:
        magic = file.read(4)
    text = dump(program, image, "human")
    result = dump(program, image, "json")
    expected = 0 if magic == b"QFI\xfb" else 1
    if (text.returncode, result.returncode) != (expected, expected):
        yield f"exit codes {text.returncode} and {result.returncode}"
        return
    if expected != 0:
        return
    structures = json.loads(result.stdout)["structures"]
    if structures[0]["structure"] != "header":
        yield "no header"
    headings = [
        line for line in text.stdout.decode().splitlines()
        if line and not line.startswith(" ")
    ]
    if len(headings) != len(structures):
        yield f"{len(headings)} structures as text, {len(structures)} as JSON"
    for structure in structures:
        if structure["structure"] not in KINDS:
            yield f"a {structure['structure']}"
        following = 0
        for entry in structure.get("entries", []):
            if entry["index"] != following:
                yield f"{structure['title']}: no entry {following}"
            following = entry["index"] + entry.get("count", 1)


def main():
    program, images = sys.argv[1], sys.argv[2:]
    failed = False
    for image in images:
        for problem in problems_with(program, image):
            print(f"{image}: {problem}")
            failed = True
    if len(images) < 100:
        print(f"only {len(images)} images")
        failed = True
    sys.exit(1 if failed else 0)


main()
