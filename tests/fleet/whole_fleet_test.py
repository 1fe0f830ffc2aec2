"""2000 images of mixed health in a tree, with overlays on shared bases."""
import json
import os
import shutil
import subprocess
import unittest

import fleet

IMAGES = 2000
BASES = 10
OVERLAYS = 60
DAMAGED_BASE = 3
MEMORY_LIMIT = 16 << 20


def make_bases(tree):
    """Ten bases, one of them leaky, and 60 overlays on them; by path."""
    expected = {}
    os.mkdir(os.path.join(tree, "bases"))
    for number in range(BASES):
        base = os.path.join(tree, "bases", f"base{number}")
        fleet.clean_image(base)
        expected[base] = "clean"
        if number == DAMAGED_BASE:
            fleet.plant_leak(base)
            expected[base] = "leaks"
    os.mkdir(os.path.join(tree, "vms"))
    for number in range(OVERLAYS):
        overlay = os.path.join(tree, "vms", f"vm{number}.qcow2")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2"]
        command += ["-b", f"../bases/base{number % BASES}", overlay]
        subprocess.run(command, check=True)
        expected[overlay] = "clean"
    return expected


def samples():
    """Small images of the corpus that stand alone, with their status."""
    folder = fleet.scratch()
    fleet.corpus(folder)
    found = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, f"{name}.qcow2")
        with open(path, "rb") as image:
            begins_well = image.read(4) == b"QFI\xfb"
        alone = os.listdir(os.path.dirname(path)) == [f"{name}.qcow2"]
        expected = fleet.expected_of(name)
        if begins_well and alone and not expected.get("deep"):
            if 512 < os.path.getsize(path) < 400 << 10:
                found.append((path, expected["status"]))
    return found


def make_fleet(tree):
    """The tree; the status that each of its images must be found to have."""
    expected = make_bases(tree)
    sources = samples()
    number = 0
    while len(expected) < IMAGES:
        source, status = sources[number % len(sources)]
        folder = os.path.join(tree, f"pool{number % 17}", f"host{number % 5}")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"disk{number}")
        shutil.copyfile(source, path)
        expected[path] = status
        number += 1
    # What is no image.
    for name in ("notes.txt", "raw.img"):
        with open(os.path.join(tree, "vms", name), "wb") as file:
            file.write(b"nothing of interest" * 1000)
    os.symlink("/", os.path.join(tree, "vms", "root"))
    os.mkfifo(os.path.join(tree, "vms", "fifo"))
    return expected


class WholeFleetTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = fleet.scratch()
        cls.expected = make_fleet(cls.tree)
        cls.arguments = ["--recursive", "--output=ndjson", "--jobs=2"]
        cls.arguments += [f"--memory-limit={MEMORY_LIMIT}", cls.tree]
        result = fleet.fsck(*cls.arguments)
        cls.single, cls.summary = fleet.lines(result.stdout)
        cls.exit_code = result.returncode

    def test_each_is_reported_once_with_its_damage(self):
        found = {report["image"]["path"]: report["status"] for report in self.single}
        self.assertEqual(len(self.single), IMAGES)
        self.assertEqual(found, self.expected)
        for status, count in self.summary["by_status"].items():
            self.assertEqual(count, list(self.expected.values()).count(status))

    def test_who_lies_on_a_damaged_base_is_told(self):
        base = os.path.join(self.tree, "bases", f"base{DAMAGED_BASE}")
        # Worse ones fill the list of the whole; in its own part it is alone.
        result = fleet.fsck(
            "--recursive", "--output=ndjson", "--exclude=pool*", self.tree
        )
        _, summary = fleet.lines(result.stdout)
        (entry,) = summary["damaged"]
        self.assertEqual(entry["path"], base)
        self.assertEqual(entry["overlays"], OVERLAYS // BASES)

    def test_the_memory_is_shared(self):
        for report in self.single:
            self.assertLessEqual(report["statistics"]["map_memory"], MEMORY_LIMIT // 2)
        # The process with its buffers and the reports of the summary.
        peak = max(report["statistics"]["peak_memory"] for report in self.single)
        self.assertLess(peak, 256 << 20)

    def test_killed_half_way_the_rest_is_done_later(self):
        state = os.path.join(fleet.scratch(), "state")
        arguments = [*self.arguments, f"--state={state}"]
        with subprocess.Popen(
            [fleet.FSCK, "--max-rate=8M", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            first = [json.loads(process.stdout.readline()) for _ in range(IMAGES // 2)]
            process.kill()
            first += [json.loads(line) for line in process.stdout.read().splitlines()]
        self.assertLess(len(first), IMAGES)
        rest, summary = fleet.lines(fleet.fsck(*arguments).stdout)
        self.assertEqual(summary["images"]["earlier"] + len(rest), IMAGES)
        self.assertEqual(summary["images"]["left"], 0)
        self.assertLess(len(rest), IMAGES)
        both = set(fleet.paths(first)) | set(fleet.paths(rest))
        self.assertEqual(both, set(self.expected))

    def test_four_shards_make_the_whole(self):
        folder = fleet.scratch()
        reports = []
        for shard in range(4):
            path = os.path.join(folder, f"shard{shard}")
            result = fleet.fsck(f"--shard={shard}/4", f"--report={path}", *self.arguments)
            part, _ = fleet.lines(result.stdout)
            self.assertGreater(len(part), IMAGES // 8)
            reports.append(path)
        result = fleet.fsck("merge", "--output=ndjson", *reports)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.returncode, self.exit_code)
        merged, summary = fleet.lines(result.stdout)

        self.assertEqual(len(merged), IMAGES)
        self.assertEqual(fleet.by_path(merged), fleet.by_path(self.single))
        expected = dict(self.summary)
        del expected["seconds"], summary["seconds"]
        self.assertEqual(summary, expected)

        # A report that was cut short, and one that is there twice.
        with open(reports[0], encoding="utf-8") as file:
            content = file.read()
        with open(reports[0], "w", encoding="utf-8") as file:
            file.write(content[: len(content) // 2])
        result = fleet.fsck("merge", "--output=json", *reports)
        self.assertEqual(result.returncode & 8, 8)
        self.assertIn("was cut short", result.stderr)
        result = fleet.fsck("merge", reports[1], reports[1])
        self.assertEqual(result.returncode & 8, 8)
        self.assertIn("is in two reports", result.stderr)


if __name__ == "__main__":
    unittest.main()
