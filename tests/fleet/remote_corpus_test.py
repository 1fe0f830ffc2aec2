"""Every image of the corpus, on servers: the report is that of the file."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import fleet


class Server:
    """nbdkit or qemu-nbd on a socket of its own, in a short folder."""

    def __init__(self, *command):
        self.folder = tempfile.mkdtemp(dir="/tmp", prefix="nbd_")
        self.socket = os.path.join(self.folder, "socket")
        option = "-U" if command[0] == "nbdkit" else "-k"
        self.process = subprocess.Popen(
            [command[0], option, self.socket, *command[1:]],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(3000):
            if os.path.exists(self.socket):
                return
            time.sleep(0.01)
        raise RuntimeError(f"{command[0]} does not come up")

    def address(self, name=""):
        return f"nbd+unix:///{name}?socket={self.socket}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


def comparable(report, name):
    """A report without what the way to the image decides."""
    report = json.loads(json.dumps(report).replace(report["image"]["path"], name))
    del report["statistics"]
    notes = [w for w in report["warnings"] if w["code"] == "image-not-locked"]
    report["warnings"] = [w for w in report["warnings"] if w not in notes]
    report["counts"]["notes"] -= len(notes)
    return report, len(notes)


def qemu_img(address):
    return subprocess.run(
        ["qemu-img", "check", "--output=json", address],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class RemoteCorpusTest(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        unpacked = fleet.scratch()
        cls.folder = fleet.scratch()
        cls.names = []
        for path in fleet.corpus(unpacked):
            name = os.path.basename(path)
            os.rename(path, os.path.join(cls.folder, name))
            cls.names.append(name)
        cls.server = Server("nbdkit", "-f", "-r", "file", f"dir={cls.folder}")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def path(self, name):
        return os.path.join(self.folder, name)

    def reports(self, images):
        """Without files that they name: those are looked at locally only."""
        result = fleet.fsck("--backing=none", "--output=ndjson", *images)
        return fleet.lines(result.stdout)[0]

    def assert_same(self, addresses, names):
        """Comparing an address each with the files called so."""
        local = self.reports([self.path(name) for name in names])
        remote = self.reports(addresses)
        self.assertEqual(len(local), len(names))
        self.assertEqual(len(remote), len(names))
        for name, here, there in zip(names, local, remote):
            with self.subTest(name):
                same, none = comparable(here, name)
                other, one = comparable(there, name)
                self.assertEqual(other, same)
                self.assertEqual((none, one), (0, 1))

    def test_every_report_is_that_of_the_file(self):
        self.assertGreater(len(self.names), 100)
        addresses = [self.server.address(name) for name in self.names]
        self.assert_same(addresses, self.names)

    def test_so_it_is_with_qemu_nbd(self):
        # It rounds lengths up to whole sectors.
        whole = [
            name
            for name in self.names
            if os.path.getsize(self.path(name)) % 512 == 0
        ]
        for name in whole[::20]:
            command = ("qemu-nbd", "-t", "-r", "-f", "raw", self.path(name))
            with Server(*command) as server:
                self.assert_same([server.address()], [name])

    def alone(self):
        """The images that name no other file, which is looked at locally only."""
        reports = self.reports([self.path(name) for name in self.names])
        for name, report in zip(self.names, reports):
            image = report["image"]
            if not image.get("backing_file") and not image.get("data_file"):
                yield name

    def test_in_place_of_qemu_img(self):
        names = list(self.alone())
        self.assertGreater(len(names), 100)
        # qemu-img wants the secret of an encrypted one.
        healthy = [
            name
            for name in names
            if name.startswith("healthy-") and "aes" not in name and "luks" not in name
        ]
        for name in healthy[::4]:
            address = self.server.address(name)
            with self.subTest(name):
                theirs = qemu_img(address)
                ours = fleet.fsck("--compat=qemu-img", "--output=json", address)
                self.assertEqual(ours.returncode, theirs.returncode, ours.stderr)
                if theirs.stdout:
                    self.assertEqual(json.loads(ours.stdout), json.loads(theirs.stdout))
        for name in names[::10]:
            with self.subTest(name):
                there = fleet.fsck("--compat=qemu-img", self.server.address(name))
                here = fleet.fsck("--compat=qemu-img", "-U", self.path(name))
                self.assertEqual(there.returncode, here.returncode)
                self.assertEqual(there.stdout, here.stdout)


if __name__ == "__main__":
    unittest.main()
