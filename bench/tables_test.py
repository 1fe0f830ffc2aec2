#!/usr/bin/env python3
"""The verdicts of the benchmark's tables: what keeps a limit and what does not."""

import unittest

import images
import tables

IMAGE = images.Image("name", "title", make=None, times_faster=20)


def figures(wall, peak_kib):
    return {"wall": wall, "peak_kib": peak_kib}


def repair_missed(fsck, qemu_img):
    return tables.repair_missed(20, {"fsck": fsck, "qemu_img": qemu_img})


def missed(fsck, loop=figures(1.0, 3000), qemu_img=figures(40.0, 40960)):
    return tables.missed(
        IMAGE, {"fsck": fsck, "loop": loop, "qemu_img": qemu_img})


class MissedTest(unittest.TestCase):

    def test_nothing_is_missed_at_the_limits(self):
        self.assertEqual(missed(figures(2.0, 20480)), [])

    def test_slower_than_the_target(self):
        self.assertEqual(missed(figures(2.01, 20480)), ["speed"])

    def test_more_than_half_of_the_memory(self):
        self.assertEqual(missed(figures(2.0, 20481)), ["memory"])

    def test_eight_mebibytes_are_free(self):
        little = figures(40.0, 10000)
        self.assertEqual(missed(figures(2.0, 8192), qemu_img=little), [])
        self.assertEqual(missed(figures(2.0, 8193), qemu_img=little),
                         ["memory"])

    def test_more_than_three_loops(self):
        self.assertEqual(missed(figures(2.0, 1000), loop=figures(0.6, 3000)),
                         ["loop"])

    def test_without_qemu_img_only_the_loop_counts(self):
        self.assertEqual(missed(figures(2.9, 99999), qemu_img=None), [])
        self.assertEqual(missed(figures(3.1, 99999), qemu_img=None), ["loop"])


class RepairMissedTest(unittest.TestCase):

    def test_nothing_is_missed_at_the_limits(self):
        self.assertEqual(repair_missed(figures(2.0, 40960),
                                       figures(40.0, 40960)), [])

    def test_slower_and_larger(self):
        self.assertEqual(repair_missed(figures(2.01, 40961),
                                       figures(40.0, 40960)),
                         ["speed", "memory"])


class ColdRowTest(unittest.TestCase):

    def row(self, one, eight):
        return tables.cold_row(IMAGE, {"loop": figures(1.0, 0),
                                       "fsck_1": figures(one, 0),
                                       "fsck_8": figures(eight, 0)})

    def test_one_thread_may_be_equal_and_eight_must_be_ahead(self):
        self.assertTrue(self.row(1.05, 0.9).endswith("| none |"))
        self.assertTrue(self.row(1.06, 1.0).endswith(
            "| one thread, eight threads |"))


class MemoryLimitTest(unittest.TestCase):

    def test_the_limit_comes_on_top_of_the_floor(self):
        self.assertTrue(
            tables.memory_limit_kept("4M", figures(1, 12 * 1024)))
        self.assertFalse(
            tables.memory_limit_kept("4M", figures(1, 12 * 1024 + 1)))
        self.assertFalse(
            tables.memory_limit_kept("512K", figures(1, 8 * 1024 + 513)))


if __name__ == "__main__":
    unittest.main()
