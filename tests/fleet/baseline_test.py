"""The second night: what is the same is not reported again."""
import json
import os
import shutil
import unittest

import fleet


class BaselineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.unpacked = fleet.scratch()
        fleet.corpus(cls.unpacked)
        every = sorted(os.listdir(cls.unpacked))
        # The companions of some make them large.
        cls.names = [name for name in every if cls.small(name)][::3]

    def setUp(self):
        self.tree = fleet.scratch()
        for name in self.names:
            source = os.path.join(self.unpacked, name)
            shutil.copytree(source, os.path.join(self.tree, name))
        sample = "sample-damaged.qcow2"
        source = os.path.join(self.unpacked, "sample-damaged", sample)
        shutil.copy(source, os.path.join(self.tree, sample))
        self.clean = os.path.join(self.tree, "clean.qcow2")
        fleet.clean_image(self.clean)
        self.report = os.path.join(fleet.scratch(), "last.ndjson")

    @classmethod
    def small(cls, name):
        folder = os.path.join(cls.unpacked, name)
        files = [os.path.join(folder, file) for file in os.listdir(folder)]
        return sum(os.path.getsize(file) for file in files) < 1 << 18

    def night(self, *arguments):
        """One run with the report of the last as its baseline, and the next's."""
        result = fleet.fsck(
            "--recursive",
            "--output=ndjson",
            f"--baseline={self.report}",
            f"--report={self.report}",
            *arguments,
            self.tree,
        )
        reports, summary = fleet.lines(result.stdout)
        return reports, summary, result.returncode

    def test_nights_on_which_an_image_is_in_use(self):
        self.night()
        fleet.plant_leak(self.clean)
        _, _, code = self.night()
        self.assertEqual(code, 4)
        with fleet.in_use(self.clean):
            for expected in (8, 0):
                _, _, code = self.night()
                self.assertEqual(code, expected)
        reports, _, code = self.night()
        self.assertEqual((reports, code), ([], 0))

    def test_names_that_are_no_utf8_are_neither_missing_nor_the_same(self):
        for name in (b"bad\xff.qcow2", b"bad\xfe.qcow2"):
            shutil.copy(self.clean, os.path.join(os.fsencode(self.tree), name))
        _, first, _ = self.night()
        _, second, code = self.night()
        self.assertEqual((second["change"]["missing"], code), ([], 0))
        merged = fleet.fsck("merge", "--output=ndjson", self.report)
        self.assertEqual(merged.stderr, "")
        reports, summary = fleet.lines(merged.stdout)
        self.assertEqual(len(reports), first["images"]["found"])
        self.assertEqual(summary["images"]["found"], first["images"]["found"])

    def test_nights(self):
        first, summary, code = self.night()
        self.assertEqual(code, 12)
        self.assertEqual(
            summary["change"]["new_findings"],
            sum(len(r["problems"]) + len(r["warnings"]) for r in first),
        )

        second, summary, code = self.night()
        self.assertEqual((second, code), ([], 0))
        self.assertEqual(summary["change"]["new_findings"], 0)
        self.assertEqual(summary["change"]["gone_findings"], 0)
        # What is there is still told.
        self.assertGreater(summary["counts"]["corruptions"], 0)

        metrics = os.path.join(fleet.scratch(), "fsck.prom")
        fleet.plant_leak(self.clean)
        third, summary, code = self.night(f"--metrics={metrics}")
        self.assertEqual(code, 4)
        self.assertEqual(fleet.paths(third), [self.clean])
        self.assertEqual(
            [problem["code"] for problem in third[0]["problems"]], ["cluster-leaked"]
        )
        self.assertEqual(summary["change"]["new_leaks"], 1)
        self.assertEqual([d["path"] for d in summary["damaged"]], [self.clean])
        with open(metrics, encoding="utf-8") as file:
            self.assertIn(f'qcow2_fsck_leaks{{image="{self.clean}"}} 1\n', file.read())

        # One more beside it: the finding grows, and only the growth is new.
        before = third[0]["problems"][0]
        fleet.plant_leak(self.clean)
        fourth, _, code = self.night()
        self.assertEqual(code, 4)
        (problem,) = fourth[0]["problems"]
        self.assertEqual(problem["count"], 1)
        self.assertEqual(
            problem["host"]["first_cluster"], before["host"]["first_cluster"] + 1
        )
        self.assertEqual(fourth[0]["counts"]["leaks"], 2)

        # Mended: gone, and no error. An image that was removed is named.
        fleet.fsck("--repair", "--no-undo", self.clean)
        removed = os.path.join(self.tree, self.names[0])
        shutil.rmtree(removed)
        fifth, summary, code = self.night()
        self.assertEqual(code, 0)
        self.assertEqual(fleet.paths(fifth), [self.clean])
        self.assertEqual(
            sum(gone["count"] for gone in fifth[0]["change"]["gone"]), 2
        )
        self.assertTrue(summary["change"]["missing"][0].startswith(removed))

    def test_for_people(self):
        self.night()
        fleet.plant_leak(self.clean)
        result = fleet.fsck("--recursive", f"--baseline={self.report}", self.tree)
        self.assertEqual(result.returncode, 4)
        self.assertIn(f"{self.clean}: 1 new finding, no gone; now 1 leak\n", result.stdout)
        self.assertIn("\n  new leak: cluster-leaked (312): host cluster", result.stdout)
        self.assertIn("Since the baseline 1 finding new and 0 gone", result.stdout)
        self.assertNotIn("sample-damaged", result.stdout)

    def test_nothing_new_for_people(self):
        self.night()
        result = fleet.fsck("--recursive", f"--baseline={self.report}", self.tree)
        self.assertEqual(result.returncode, 0)
        self.assertIn("Since the baseline nothing is new and nothing is gone.\n", result.stdout)
        self.assertTrue(result.stdout.endswith("Exit code 0: nothing new is wrong.\n"))

    def test_fingerprints_stay(self):
        def prints():
            result = fleet.fsck("--recursive", "--output=json", self.tree)
            return sorted(
                (report["image"]["path"], problem["fingerprint"])
                for report in json.loads(result.stdout)
                if "image" in report
                for problem in report["problems"]
            )

        first = prints()
        self.assertEqual(first, prints())
        self.assertEqual(len(first), len(set(first)))

    def test_a_baseline_that_is_none(self):
        with open(self.report, "w", encoding="utf-8") as file:
            file.write("nonsense\n")
        reports, summary, code = self.night()
        self.assertEqual((reports, summary, code), ([], None, 8))
        with open(self.report, encoding="utf-8") as file:
            self.assertEqual(file.read(), "nonsense\n")


if __name__ == "__main__":
    unittest.main()
