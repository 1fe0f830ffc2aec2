"""The completions do in bash, zsh and fish what they are for.

bash and zsh are driven through a terminal, key by key; fish is asked for its
candidates. A shell that is not installed fails the test."""
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

FOLDER = os.path.abspath("packaging/completions")


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, arguments, folder):
        self.read = ""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": folder,
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execve(arguments[0], arguments, environment)

    def send(self, keys):
        os.write(self.descriptor, keys.encode())

    def wait_for(self, pattern):
        """What was printed up to the match of `pattern`, which is returned."""
        end = time.monotonic() + 60
        while not (found := re.search(pattern, self.read)):
            if time.monotonic() > end:
                raise AssertionError(f"{pattern} did not come: {self.read!r}")
            if select.select([self.descriptor], [], [], 1)[0]:
                self.read += os.read(self.descriptor, 65536).decode(errors="replace")
        self.read = self.read[found.end() :]
        return found

    def close(self):
        os.close(self.descriptor)
        os.waitpid(self.process, 0)


class Completions(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
        with open(self.folder + "/disk-image.qcow2", "w", encoding="utf-8"):
            pass

    # Each line as typed, where the tabulator is the last key, and what it is
    # completed to in every shell.
    LINES = (
        ("qcow2-fsck --recur", "qcow2-fsck --recursive "),
        ("qcow2-fsck --overlap", "qcow2-fsck --overlap-check="),
        ("qcow2-fsck --output=nd", "qcow2-fsck --output=ndjson "),
        ("qcow2-fsck --output nd", "qcow2-fsck --output ndjson "),
        ("qcow2-fsck --repair=sal", "qcow2-fsck --repair=salvage "),
        ("qcow2-fsck --repair di", "qcow2-fsck --repair disk-image.qcow2 "),
        ("qcow2-fsck --explain=l2-table-w", "qcow2-fsck --explain=l2-table-wiped "),
        ("qcow2-fsck --state=di", "qcow2-fsck --state=disk-image.qcow2 "),
        ("qcow2-fsck mer", "qcow2-fsck merge "),
        ("qcow2-fsck merge --ou", "qcow2-fsck merge --output="),
        ("qcow2-fsck merge di", "qcow2-fsck merge disk-image.qcow2 "),
        ("qcow2-fsck di", "qcow2-fsck disk-image.qcow2 "),
        ("qcow2-tool comp", "qcow2-tool compare "),
        ("qcow2-tool snapshot ap", "qcow2-tool snapshot apply "),
        ("qcow2-tool snapshot apply di", "qcow2-tool snapshot apply disk-image.qcow2 "),
        ("qcow2-tool create --clu", "qcow2-tool create --cluster-size="),
        ("qcow2-tool create --compression-type=zs",
         "qcow2-tool create --compression-type=zstd "),
        ("qcow2-tool convert -O qc", "qcow2-tool convert -O qcow2 "),
        ("qcow2-tool bitmap add --gran", "qcow2-tool bitmap add --granularity="),
    )

    def lines_in(self, terminal, takes_back=""):
        """Types every line; the terminal shows what came of it.

        The line is made the argument of echo, between brackets, so that the
        shell itself says what it holds when it has done with the tabulator.
        `takes_back` are characters at its end that the shell may take back when
        the cursor leaves them."""
        for typed, expected in self.LINES:
            terminal.send(f"{typed}\t\x01echo '<\x05>'\r")
            line = terminal.wait_for(r"(?m)^<(.*?)>\r")[1]
            kept = len(expected.rstrip(takes_back)) if takes_back else None
            self.assertEqual(line[:kept], expected[:kept])
            self.assertEqual(line[len(expected) :], "")
        terminal.close()

    def test_bash(self):
        terminal = Terminal(
            ["/bin/bash", "--noprofile", "--norc", "-i"], self.folder
        )
        terminal.send(
            "PS1=; bind 'set enable-bracketed-paste off'; "
            "bind 'set bell-style none'; set -u; "
            ". /usr/share/bash-completion/bash_completion; "
            f". {FOLDER}/qcow2-fsck.bash; . {FOLDER}/qcow2-tool.bash; "
            "echo rea'dy'\r"
        )
        terminal.wait_for("ready\r")
        self.lines_in(terminal)

    def test_zsh(self):
        for program in ("qcow2-fsck", "qcow2-tool"):
            shutil.copy(f"{FOLDER}/{program}.zsh", f"{self.folder}/_{program}")
        terminal = Terminal(["/usr/bin/zsh", "-f", "-i"], self.folder)
        terminal.send(
            "PS1=; unsetopt zle_bracketed_paste beep prompt_cr prompt_sp; "
            f"bindkey -e; fpath=({self.folder} $fpath); "
            "autoload -Uz compinit; compinit -u -D; echo rea'dy'\r"
        )
        terminal.wait_for("ready\r")
        self.lines_in(terminal, takes_back=" =")

    def test_fish(self):
        for program in ("qcow2-fsck", "qcow2-tool"):
            subprocess.run(
                ["fish", "--no-execute", f"{FOLDER}/{program}.fish"], check=True
            )
        for typed, expected in self.LINES:
            result = subprocess.run(
                [
                    "fish",
                    "--no-config",
                    "-c",
                    f"source {FOLDER}/qcow2-fsck.fish; "
                    f"source {FOLDER}/qcow2-tool.fish; complete -C {typed!r}",
                ],
                cwd=self.folder,
                env={"HOME": self.folder, "PATH": "/usr/bin:/bin"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            self.assertEqual(result.stderr, "")
            candidates = {
                line.split("\t")[0] for line in result.stdout.splitlines()
            }
            # fish puts the blank or "=" behind the word itself.
            word = expected.split(" ")[-1] or expected.split(" ")[-2]
            self.assertEqual(candidates, {word.rstrip("=")}, typed)


if __name__ == "__main__":
    unittest.main()
