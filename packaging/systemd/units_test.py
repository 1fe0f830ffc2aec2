"""The units are ones that systemd takes, and their commands do as they say."""
import glob
import json
import os
import shutil
import subprocess
import sys
import unittest

import syscall_filter
import unit_file

sys.path.append("tests/fleet")
import fleet  # noqa: E402  pylint: disable=wrong-import-position

HERE = "packaging/systemd"


def run(arguments, **more):
    """Runs a command; the finished process with its output as text."""
    return subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **more,
    )


def installed_root():
    """A folder in which everything is where the package puts it."""
    root = fleet.scratch()
    units = os.path.join(root, "usr/lib/systemd/system")
    for folder in (units, root + "/usr/bin", root + "/usr/libexec/qcow2-fsck"):
        os.makedirs(folder)
    os.symlink("usr/bin", root + "/bin")
    for pattern in ("/lib/systemd/system/*.target", HERE + "/qcow2-fsck*"):
        for path in glob.glob(pattern):
            shutil.copy(path, units)
    shutil.copy(fleet.FSCK, root + "/usr/bin")
    shutil.copy("/bin/sh", root + "/usr/bin")
    for script in ("keep-report", "notify"):
        shutil.copy(f"{HERE}/{script}", root + "/usr/libexec/qcow2-fsck")
    return root


class WhatSystemdSays(unittest.TestCase):
    def verify(self, root):
        """Everything that `systemd-analyze verify` says."""
        units = [
            "qcow2-fsck@srv-vm\\x2dimages.service",
            "qcow2-fsck@srv-images.timer",
            "qcow2-fsck-notify@qcow2-fsck@srv-images.service.service",
        ]
        result = run(["systemd-analyze", "verify", f"--root={root}", "--man=no", *units])
        return result.stdout + result.stderr

    def test_the_units_are_sound(self):
        self.assertEqual(self.verify(installed_root()), "")

    def test_a_command_that_is_not_there_is_seen(self):
        root = installed_root()
        os.remove(root + "/usr/bin/qcow2-fsck")
        self.assertIn("/usr/bin/qcow2-fsck", self.verify(root))

    def test_exposure(self):
        # In tenths; the check alone has nothing that it does not need.
        for unit, most in (("qcow2-fsck@", 15), ("qcow2-fsck-notify@", 50)):
            result = run(
                [
                    "systemd-analyze",
                    "security",
                    "--no-pager",
                    "--offline=yes",
                    f"--threshold={most}",
                    f"{HERE}/{unit}.service",
                ]
            )
            self.assertEqual(result.returncode, 0, result.stdout[-200:])


class Night(unittest.TestCase):
    """The commands of qcow2-fsck@.service, one after the other."""

    def setUp(self):
        self.root = fleet.scratch()
        # A path that has to be escaped.
        self.images = os.path.join(self.root, "vm-images of a night")
        os.mkdir(self.images)
        for number in range(6):
            fleet.clean_image(f"{self.images}/vm{number}.qcow2")
        instance = run(["systemd-escape", "--path", self.images]).stdout.strip()
        self.unit = unit_file.UnitFile(
            f"{HERE}/qcow2-fsck@.service",
            f"qcow2-fsck@{instance}.service",
            self.root,
        )
        self.kept = self.unit.environment()["STATE_DIRECTORY"]
        os.makedirs(self.kept, mode=int(self.unit.settings["StateDirectoryMode"][0], 8))
        self.calls = syscall_filter.allowed_calls(
            self.unit.settings["SystemCallFilter"]
        )

    def start(self, key, *options, **more):
        variables = self.unit.environment()
        arguments = self.unit.command(key, variables)
        arguments[1:1] = options
        arguments[0] = {
            "/usr/bin/qcow2-fsck": fleet.FSCK,
            "/usr/libexec/qcow2-fsck/keep-report": os.path.abspath(
                HERE + "/keep-report"
            ),
        }[arguments[0]]
        path = os.path.dirname(os.path.abspath(fleet.FSCK)) + ":/usr/bin:/bin"
        return run(
            arguments,
            env={"PATH": path, **variables, **more},
            cwd="/",
            preexec_fn=lambda: syscall_filter.confine(self.calls),
        )

    def configure(self, line):
        """Writes the file of options that docs/nightly.md speaks of."""
        path = f"{self.root}/etc/qcow2-fsck{self.images}.conf"
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            file.write(line + "\n")

    def night(self, *options):
        """One run with what follows it; `options` are for this one alone."""
        result = self.start("ExecStart", *options)
        stopped = self.start("ExecStopPost", EXIT_STATUS=str(result.returncode))
        self.assertEqual(stopped.stderr, "")
        return result

    def make_every_check_long(self):
        """As if each had taken more than any night has: then a run with a time
        budget begins the first, and leaves the others to the next."""
        path = os.path.join(self.kept, "state")
        with open(path, encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        for image in entries[1:-1]:
            image["seconds"] = 100000
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)

    def report(self, name):
        with open(os.path.join(self.kept, name), encoding="utf-8") as file:
            return json.load(file)

    def test_only_what_is_new_fails(self):
        first = self.night()
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        self.assertIn("6 of 6 images checked", first.stdout)
        fleet.plant_leak(f"{self.images}/vm3.qcow2")
        second = self.night()
        self.assertEqual(second.returncode, 4, second.stdout + second.stderr)
        self.assertIn(f"{self.images}/vm3.qcow2: 1 new finding", second.stdout)
        third = self.night()
        self.assertEqual(third.returncode, 0, third.stdout + third.stderr)
        self.assertNotIn("vm3", third.stdout)
        self.assertEqual(sorted(os.listdir(self.kept)),
                         ["known.ndjson", "last.json", "metrics.prom", "state"])
        self.assertEqual(len(self.report("last.json")), 7)

    def test_metrics_can_be_read_by_the_collector(self):
        folder = os.path.join(self.root, "node-exporter")
        os.mkdir(folder)
        self.configure(f"QCOW2_FSCK_METRICS={folder}/fsck.prom")
        self.assertEqual(self.night().returncode, 0)
        self.assertEqual(os.stat(folder + "/fsck.prom").st_mode & 0o777, 0o644)

    def test_options_of_the_instance(self):
        more = os.path.join(self.root, "more")
        os.mkdir(more)
        fleet.clean_image(more + "/other.qcow2")
        self.configure(f"QCOW2_FSCK_OPTIONS=--exclude=vm[0-3].* --jobs=1 {more}")
        self.assertIn("3 of 3 images checked", self.night().stdout)

    def test_a_round_of_several_nights_is_one_baseline(self):
        for number in range(6):
            fleet.plant_leak(f"{self.images}/vm{number}.qcow2")
        self.assertEqual(self.night().returncode, 4)
        size = os.path.getsize(f"{self.kept}/known.ndjson")
        for _ in range(2):
            nights = 0
            while not nights or "round.ndjson" in os.listdir(self.kept):
                self.make_every_check_long()
                result = self.night("--time-budget=60s", "--jobs=1")
                self.assertEqual(result.returncode, 0, result.stdout)
                self.assertNotIn("new finding", result.stdout)
                nights += 1
            self.assertEqual(nights, 6)
        # What is kept does not grow from round to round.
        self.assertLess(os.path.getsize(f"{self.kept}/known.ndjson"), 2 * size)

    def test_a_run_that_came_to_nothing_changes_nothing(self):
        fleet.plant_leak(f"{self.images}/vm3.qcow2")
        self.assertEqual(self.night().returncode, 4)
        before = self.report("last.json")
        with open(f"{self.kept}/state", "a", encoding="utf-8") as file:
            file.write("x")
        self.assertEqual(self.night().returncode, 8)
        self.assertEqual(self.report("last.json"), before)
        os.remove(f"{self.kept}/state")
        self.assertEqual(self.night().returncode, 0)
        self.assertEqual(self.unit.settings["SuccessExitStatus"], ["32"])

    def test_what_is_known_of_an_image_in_use_is_not_told_again(self):
        image = f"{self.images}/vm3.qcow2"
        fleet.plant_leak(image)
        self.assertEqual(self.night().returncode, 4)
        with fleet.in_use(image):
            self.assertEqual(self.night().returncode, 8)
            self.assertEqual(self.night().returncode, 0)
            with open(f"{self.kept}/metrics.prom", encoding="utf-8") as file:
                self.assertIn(f'qcow2_fsck_leaks{{image="{image}"}} 1\n', file.read())
        last = self.night()
        self.assertEqual(last.returncode, 0, last.stdout + last.stderr)

    def test_the_filter_of_system_calls_holds(self):
        result = run(
            ["/usr/bin/python3", "-c", "import socket; socket.socket()"],
            preexec_fn=lambda: syscall_filter.confine(self.calls),
        )
        self.assertIn("PermissionError", result.stderr)


class Notify(unittest.TestCase):
    """The script, with stand-ins for the programs it needs."""

    def setUp(self):
        self.folder = fleet.scratch()
        self.add_program("journalctl", 'echo "$*"; echo \'a "quoted" \\ word\'')
        self.add_program("sendmail", f'cat > "{self.folder}/mail"')
        self.add_program(
            "curl",
            f'cat > "{self.folder}/config"; echo "$*" > "{self.folder}/curl-arguments"\n'
            f'for last; do :; done; cat "${{last#@}}" > "{self.folder}/body"',
        )

    def add_program(self, name, script):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)

    def notify(self, **variables):
        unit = "qcow2-fsck@srv-vm\\x2dimages.service"
        return run(
            [f"{HERE}/notify", unit],
            env={
                "PATH": f"{self.folder}:/usr/bin:/bin",
                "TMPDIR": self.folder,
                "MONITOR_INVOCATION_ID": "0123abcd",
                "MONITOR_EXIT_STATUS": "4",
                **variables,
            },
        )

    def text(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.read()

    def test_mail(self):
        result = self.notify(MAIL_TO="root")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        head, body = self.text("mail").split("\n\n", 1)
        self.assertIn("To: root\n", head)
        self.assertIn("srv-vm\\x2dimages.service failed on", head)
        self.assertIn("(exit code 4)", head)
        self.assertIn("_SYSTEMD_INVOCATION_ID=0123abcd", body)
        self.assertFalse(os.path.exists(self.folder + "/body"))

    def test_webhook(self):
        address = "https://chat.example.org/hooks/secret"
        result = self.notify(WEBHOOK_URL=address)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        text = json.loads(self.text("body"))["text"]
        self.assertIn("vm\\x2dimages.service failed", text.splitlines()[0])
        self.assertIn('a "quoted" \\ word\n', text)
        self.assertIn(address, self.text("config"))
        self.assertNotIn("secret", self.text("curl-arguments"))
        self.assertFalse(os.path.exists(self.folder + "/mail"))

    def test_what_cannot_be_sent_fails(self):
        self.add_program("sendmail", "exit 75")
        self.assertEqual(self.notify(MAIL_TO="root").returncode, 1)


if __name__ == "__main__":
    unittest.main()
