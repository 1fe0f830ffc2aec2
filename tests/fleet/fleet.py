"""A tree of images to check, and qcow2-fsck to check it with."""
import json
import os
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


def copy_sparse(source, target):
    """Copies a file without filling its holes."""
    subprocess.run(
        ["cp", "--sparse=always", "--reflink=auto", source, target], check=True
    )
