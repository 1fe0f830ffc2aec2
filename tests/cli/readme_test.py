"""The session that a page shows is what the program prints.

    readme_test.py PAGE PROGRAM CORPUS_IMAGES

Runs the commands of the block marked `console` and compares what they print.
What differs from run to run (sizes read, times) is evened out; /tmp is replaced
by a folder of the test's own.
"""
import os
import re
import subprocess
import sys
import tempfile


def console_block(text):
    return re.search(r"^```console\n(.*?)^```$", text, re.S | re.M).group(1)


def sessions(block):
    """Pairs of a command and what is shown below it."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.M)[1:]
    return list(zip(parts[0::2], parts[1::2]))


def evened_out(text):
    return re.sub(r"read \S+ \S+ of metadata in .*", "read metadata", text)


def main():
    readme, program, images = (os.path.abspath(path) for path in sys.argv[1:])
    with open(readme, encoding="utf-8") as readme_file:
        commands = sessions(console_block(readme_file.read()))
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for command, shown in commands:
            runnable = (
                command.replace("/tmp/", folder + "/")
                .replace("tools/run.sh", program)
                .replace("corpus/images", images)
            )
            if os.path.basename(program) == "qcow2-tool":
                runnable = runnable.replace("qcow2-tool", program)
            result = subprocess.run(
                ["bash", "-c", runnable],
                stdout=subprocess.PIPE,
                encoding="utf-8",
                check=False,
            )
            printed = result.stdout.replace(folder + "/", "/tmp/")
            if evened_out(printed) != evened_out(shown):
                failures += 1
                print(f"$ {command}\n--- shown:\n{shown}--- printed:\n{printed}")
    print(f"{len(commands)} commands, {failures} differ")
    return 1 if failures or len(commands) < 3 else 0


if __name__ == "__main__":
    sys.exit(main())
