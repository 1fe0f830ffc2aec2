#!/usr/bin/env python3
"""Measures qcow2-tool against qemu-img: requests a second, and conversions.

One run, all programs taking turns, the first of a round being another one in
each round. Of each program the shortest wall time of the whole process counts:
what else the machine does can only make it longer. Prints a table in Markdown.
bench/engine.sh builds what this needs.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile

import tables

MIB = 1 << 20


class Row:
    """What one line of the table measures.

    `commands` makes each program's arguments, by the key that says whose they
    are, from the paths of the files and that of a file to make.
    """

    def __init__(self, name, commands, target=1.5, fresh=False):
        self.name = name
        self.commands = commands
        self.target = target
        self.fresh = fresh  # needs an empty image each time


def bench_row(name, options, source, size, count, *more, write=False,
              fresh=False, loop=None):
    how = ["-w"] if write else []
    arguments = ["bench", *how, "-s", str(size), "-c", str(count),
                 *(more or ("-d", "1"))]
    commands = {
        "theirs": lambda path, _: ["qemu-img", *arguments, "-t", "writeback",
                                   "-f", "qcow2", path(source)],
        "ours": lambda path, _: [options.tool, *arguments, path(source)],
    }
    if loop is not None:
        commands["loop"] = lambda path, _: [
            options.loop, "write" if write else "read", path(loop), str(size),
            str(count)]
    return Row(name, commands, fresh=fresh)


def convert_row(name, options, source, ours, theirs, target):
    threads = str(options.threads)
    return Row(name, {
        "theirs": lambda path, to: ["qemu-img", "convert", "-m", threads,
                                    *theirs, path(source), to],
        "ours": lambda path, to: [options.tool, "convert", "--threads",
                                  threads, *ours, path(source), to]}, target)


def compare_row(options):
    return Row("compare qcow2 with raw", {
        "theirs": lambda path, _: ["qemu-img", "compare", path("full"),
                                   path("raw")],
        "ours": lambda path, _: [options.tool, "compare", path("full"),
                                 path("raw")]}, 1)


def nbd_row(options):
    """The raw disk through nbdkit's own file plugin takes qemu-img's place."""
    def served(plugin, name):
        return lambda path, _: ["nbdkit", "-r", "-U", "-", plugin, path(name),
                                "--run", 'nbdcopy "$uri" null:']

    return Row("nbdcopy (first: nbdkit's file plugin, raw disk)",
               {"theirs": served("file", "raw"),
                "ours": served(options.plugin, "full")}, 1)


def rows(options):
    far = ["-S", "1118208"]
    mib = options.mib
    to_qcow2 = ["-f", "raw", "-O", "qcow2"]
    return [
        bench_row("sequential read, 64 KiB", options, "full", 65536, mib * 16,
                  loop="raw"),
        bench_row("sequential read, 1 MiB", options, "full", MIB, mib,
                  loop="raw"),
        bench_row("read 4 KiB, depth 1", options, "full", 4096, 60000,
                  "-d", "1", *far),
        bench_row("read 4 KiB, depth 32", options, "full", 4096, 60000,
                  "-d", "32", *far),
        bench_row("overwrite 4 KiB, depth 1", options, "over", 4096, 30000,
                  "-d", "1", *far, write=True),
        bench_row("overwrite 64 KiB", options, "over", 65536, mib * 16,
                  write=True, loop="over.raw"),
        bench_row("overwrite 1 MiB", options, "over", MIB, mib, write=True,
                  loop="over.raw"),
        bench_row("allocating write 4 KiB", options, "empty", 4096, 12000,
                  "-d", "1", "-S", "65536", write=True, fresh=True),
        bench_row("allocating write 64 KiB", options, "empty", 65536, 16000,
                  write=True, fresh=True, loop="empty.raw"),
        bench_row("allocating write 1 MiB", options, "empty", MIB, 1000,
                  write=True, fresh=True, loop="empty.raw"),
        convert_row("convert qcow2 to raw", options, "full",
                    ["-O", "raw"], ["-O", "raw", "-W"], 1),
        convert_row("convert raw to qcow2", options, "raw",
                    ["-f", "raw"], [*to_qcow2, "-W"], 1),
        convert_row("convert, compressed with zlib", options, "text",
                    ["-f", "raw", "-c"], [*to_qcow2, "-c"], 1.5),
        convert_row("convert, compressed with zstd", options, "text",
                    ["-f", "raw", "-c", "--compression-type=zstd"],
                    [*to_qcow2, "-c", "-o", "compression_type=zstd"], 1.5),
        convert_row("convert from zlib to raw", options, "zlib",
                    ["-O", "raw"], ["-O", "raw", "-W"], 1.5),
        convert_row("convert from zstd to raw", options, "zstd",
                    ["-O", "raw"], ["-O", "raw", "-W"], 1.5),
        compare_row(options),
        nbd_row(options),
    ]


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def prepare(self):
        """Makes the files that are read: a full disk, and one of text."""
        generator = random.Random(1)
        words = [generator.randbytes(4).hex() for _ in range(2000)]
        with open(self.path("raw"), "wb") as file:
            for _ in range(self.options.mib):
                file.write(generator.randbytes(MIB))
        with open(self.path("text"), "wb") as file:
            for _ in range(self.options.mib // 4):
                text = " ".join(generator.choices(words, k=MIB // 8))
                file.write(text.encode()[:MIB])
            file.truncate(self.options.mib // 4 * MIB)
        from_raw = ["convert", "-f", "raw", "-O", "qcow2"]
        self.qemu(*from_raw, self.path("raw"), self.path("full"))
        self.qemu(*from_raw, "-c", self.path("text"), self.path("zlib"))
        self.qemu(*from_raw, "-c", "-o", "compression_type=zstd",
                  self.path("text"), self.path("zstd"))
        # What is written to is no longer what the others read.
        shutil.copy(self.path("full"), self.path("over"))
        shutil.copy(self.path("raw"), self.path("over.raw"))

    def qemu(self, *arguments):
        subprocess.run(["qemu-img", *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def measure(self, command):
        done = subprocess.run([self.options.measure, *command], check=True,
                              capture_output=True, text=True)
        wall, _, _, peak, code = done.stdout.split()
        if int(code) != 0:
            raise SystemExit("%s ended with %s" % (" ".join(command), code))
        return {"wall": float(wall), "peak_kib": int(peak)}

    def run_once(self, row, command):
        for name in ("made", "empty", "empty.raw"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        if row.fresh:
            self.qemu("create", "-q", "-f", "qcow2", self.path("empty"), "1G")
            self.qemu("create", "-q", "-f", "raw", self.path("empty.raw"),
                      "1G")
        return self.measure(command(self.path, self.path("made")))

    def run(self, row):
        samples = {who: [] for who in row.commands}
        order = list(row.commands)
        for _ in range(self.options.rounds):
            for who in order:
                samples[who].append(self.run_once(row, row.commands[who]))
            order.append(order.pop(0))
        return {who: {"wall": min(s["wall"] for s in some),
                      "peak_kib": max(s["peak_kib"] for s in some)}
                for who, some in samples.items()}


def line(row, result):
    ours, theirs = result["ours"], result["theirs"]
    times = theirs["wall"] / ours["wall"]
    loop = result.get("loop")
    return tables.row([
        row.name, tables.seconds(theirs["wall"]),
        tables.mib(theirs["peak_kib"]), tables.seconds(ours["wall"]),
        tables.mib(ours["peak_kib"]), "%.2f×" % times, "%g×" % row.target,
        "%.2f" % (ours["wall"] / loop["wall"]) if loop else "–",
        "none" if times >= row.target else "time"])


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--measure", required=True)
    parser.add_argument("--loop", required=True)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="",
                        help="rows whose names contain this alone")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--mib", type=int, default=1024,
                        help="size of the disk that is read")
    parser.add_argument("--folder", default="/dev/shm",
                        help="where the files are made; in memory by default")
    parser.add_argument("--json", help="every figure, for programs")
    return parser.parse_args()


def main():
    options = parse_options()
    folder = tempfile.mkdtemp(prefix="qcow2-tool-bench.", dir=options.folder)
    results = {}
    try:
        bench = Bench(options, folder)
        bench.prepare()
        print(tables.header(["", "qemu-img s", "MiB", "qcow2-tool s", "MiB",
                             "times faster", "target", "of the loop", "missed"]),
              flush=True)
        for row in rows(options):
            if options.only not in row.name:
                continue
            results[row.name] = bench.run(row)
            print(line(row, results[row.name]), flush=True)
    finally:
        shutil.rmtree(folder)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
