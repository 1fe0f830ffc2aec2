"""A tree of images to check, and qcow2-fsck to check it with."""
import contextlib
import fcntl
import json
import os
import struct
import subprocess
import tempfile

FSCK = os.path.abspath("cli/qcow2-fsck")


def corpus(folder):
    """Unpacks the corpus below `folder`; the paths of its images."""
    subprocess.run(
        ["tests/cli/unpack_corpus.sh", "corpus/images", folder], check=True
    )
    return sorted(
        os.path.join(folder, name, f"{name}.qcow2") for name in os.listdir(folder)
    )


def expected_of(name):
    """What corpus/images says of the image `name`."""
    with open(f"corpus/images/{name}.expect.json", encoding="utf-8") as file:
        return json.load(file)


def scratch():
    """A new folder, gone with the test's own."""
    return tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])


def fsck(*arguments):
    """Runs qcow2-fsck; the finished process with its output as text."""
    return subprocess.run(
        [FSCK, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def lines(text):
    """The reports and the summary (None if there is none) of ndjson."""
    objects = [json.loads(line) for line in text.splitlines()]
    reports = [entry for entry in objects if "image" in entry]
    summaries = [entry["summary"] for entry in objects if "summary" in entry]
    return reports, summaries[0] if summaries else None


def paths(reports):
    """The path of each report's image, sorted."""
    return sorted(report["image"]["path"] for report in reports)


def by_path(reports):
    """The reports by path, without what differs from run to run."""
    varying = ("seconds", "peak_memory", "map_memory", "passes")
    found = {}
    for report in reports:
        kept = {k: v for k, v in report["statistics"].items() if k not in varying}
        found[report["image"]["path"]] = {**report, "statistics": kept}
    return found


@contextlib.contextmanager
def in_use(path):
    """Holds the lock of a virtual machine that writes to the image."""
    with open(path, "rb") as image:
        fcntl.lockf(image, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 101)
        yield


def plant_leak(path):
    """Counts a new cluster at the end of an image that nothing refers to.

    The image has counts of 16 bits, and room in its first refcount block."""
    with open(path, "r+b") as image:
        header = image.read(104)
        bits, table = struct.unpack(">20xI24xQ48x", header)
        image.seek(table)
        (block,) = struct.unpack(">Q", image.read(8))
        size = 1 << bits
        cluster = -(-os.fstat(image.fileno()).st_size // size)
        assert cluster < size // 2
        image.truncate((cluster + 1) * size)
        image.seek(block + 2 * cluster)
        image.write(b"\0\1")


def copy_sparse(source, target):
    """Copies a file without filling its holes."""
    subprocess.run(
        ["cp", "--sparse=always", "--reflink=auto", source, target], check=True
    )


def clean_image(path):
    """Puts a sound image with a little data at `path`."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    subprocess.run(
        ["qemu-io", "-c", "write -P 7 0 256k", path],
        check=True,
        stdout=subprocess.DEVNULL,
    )
