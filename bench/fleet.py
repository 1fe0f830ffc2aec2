"""How fast many small images are checked, against a shell loop.

    fleet.py QCOW2_FSCK [IMAGES]

Makes a tree of IMAGES (default 2000) images of 64 MiB with some data in folders,
checks it with one run of qcow2-fsck and with `qemu-img check` in a loop of the
shell, each some times in turn, and prints the best of each and their ratio. All
is in the page cache, so that what is compared is the work of the programs.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
LOOP = 'find "$0" -type f | while read -r f; do qemu-img check -q "$f"; done'


def make_tree(tree, images):
    first = os.path.join(tree, "first")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", first, "64M"], check=True
    )
    subprocess.run(
        ["qemu-io", "-c", "write 0 256k", "-c", "write 32M 64k", first],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for number in range(1, images):
        folder = os.path.join(tree, f"pool{number % 20}")
        os.makedirs(folder, exist_ok=True)
        shutil.copyfile(first, os.path.join(folder, f"disk{number}.qcow2"))


def seconds(command):
    begin = time.perf_counter()
    result = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if result.returncode != 0:
        sys.exit(f"{command[0]} ended with {result.returncode}")
    return time.perf_counter() - begin


def main():
    program = sys.argv[1]
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with tempfile.TemporaryDirectory() as tree:
        make_tree(tree, images)
        ours = [program, "--recursive", "--output=ndjson", tree]
        theirs = ["sh", "-c", LOOP, tree]
        times = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    fsck = min(pair[0] for pair in times)
    loop = min(pair[1] for pair in times)
    print("| | seconds | images a second |")
    print("|---|---:|---:|")
    print(f"| qcow2-fsck --recursive | {fsck:.2f} | {images / fsck:.0f} |")
    print(f"| a loop of qemu-img check | {loop:.2f} | {images / loop:.0f} |")
    print(f"\n{loop / fsck:.1f} times as fast.")


if __name__ == "__main__":
    main()
