#!/usr/bin/env python3
"""The benchmark's images, made small, are what the benchmark says they are.

qemu-img is the judge of the images; the bare loop must read every table.
"""

import json
import os
import subprocess
import tempfile
import unittest

import image_writer
import images

DIVISOR = 512
READ_LOOP = os.path.join("bench", "read_loop")


def check(path):
    """The report of `qemu-img check`; its exit code is in the report."""
    done = subprocess.run(
        ["qemu-img", "check", "-f", "qcow2", "--output=json", path],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return json.loads(done.stdout)


def table_bytes(path):
    """What the bare loop has to read of an image without snapshots."""
    with open(path, "rb") as file:
        header = image_writer.Header(file)
        tables = [t for t in image_writer.l2_tables(file, header) if t]
        blocks = image_writer.refcount_blocks(file, header)
    table_length = header.refcount_table_clusters * header.cluster_size
    return (512 + header.l1_entries * 8 + table_length +
            (len(tables) + len(blocks)) * header.cluster_size)


class BenchmarkImagesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(
            dir=os.environ.get("TEST_TMPDIR"))
        cls.images = images.benchmark_images(DIVISOR)
        for image in cls.images:
            images.make_image(image, cls.directory.name)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def path(self, name):
        return images.path_of(self.directory.name, name)

    def test_qemu_img_finds_what_the_table_says(self):
        for image in self.images:
            with self.subTest(image.name):
                report = check(self.path(image.name))
                self.assertEqual(report["check-errors"], 0)
                self.assertEqual(report.get("leaks", 0), image.leaks)
                self.assertEqual(report.get("corruptions", 0),
                                 image.corruptions)

    def test_random_order_is_random_and_full(self):
        report = check(self.path("random-64g"))
        self.assertEqual(report["allocated-clusters"],
                         report["total-clusters"])
        self.assertGreater(report["fragmented-clusters"],
                           report["total-clusters"] * 0.99)

    def test_random_order_survives_another_cluster_size(self):
        path = self.path("random-4k")
        image_writer.write_random_order(path, 64 << 20, 12, images.SEED)
        report = check(path)
        self.assertNotIn("corruptions", report)
        self.assertNotIn("leaks", report)
        self.assertEqual(report["allocated-clusters"], 64 << 20 >> 12)

    def test_snapshots_are_there(self):
        done = subprocess.run(
            ["qemu-img", "snapshot", "-l", self.path("snapshots-256g")],
            stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(done.stdout.count("snapshot-"), 16)

    def test_the_loop_reads_every_table_once(self):
        for name in ["prealloc-128g-4k", "random-64g", "extended-512g",
                     "refcount1-256g", "refcount64-256g", "small"]:
            with self.subTest(name):
                done = subprocess.run([READ_LOOP, self.path(name)],
                                      stdout=subprocess.PIPE, text=True,
                                      check=True)
                self.assertEqual(int(done.stdout.split()[0]),
                                 table_bytes(self.path(name)))

    def test_an_image_that_exists_is_kept(self):
        for image in self.images:
            self.assertFalse(images.make_image(image, self.directory.name))


if __name__ == "__main__":
    unittest.main()
