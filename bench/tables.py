"""Turns the figures of a benchmark run into Markdown rows, with verdicts."""

# At most this many times the bare loop's time.
LOOP_LIMIT = 3.0
# At most this share of qemu-img's memory; the floor is free.
MEMORY_SHARE = 0.5
MEMORY_FLOOR_KIB = 8 * 1024
# The disk's own scatter from one cold run to the next.
COLD_TOLERANCE = 1.05


def seconds(value):
    return "%.3f" % value if value < 10 else "%.1f" % value


def mib(kib):
    return "%.1f" % (kib / 1024)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def header(titles):
    """The first column holds text, the others figures."""
    return row(titles) + "\n" + row(["---"] + ["--:"] * (len(titles) - 1))


def warm_header():
    return header(["image", "qemu-img s", "MiB", "qcow2-fsck s", "MiB",
                   "times faster", "target", "bare loop s", "of the loop",
                   "of qemu-img's memory", "missed"])


def memory_met(fsck, qemu_img):
    allowed = max(MEMORY_FLOOR_KIB, qemu_img["peak_kib"] * MEMORY_SHARE)
    return fsck["peak_kib"] <= allowed


def missed(image, result):
    """The names of the limits that this row does not keep."""
    fsck, qemu_img = result["fsck"], result.get("qemu_img")
    names = []
    if qemu_img and image.times_faster:
        if qemu_img["wall"] < fsck["wall"] * image.times_faster:
            names.append("speed")
    if fsck["wall"] > result["loop"]["wall"] * LOOP_LIMIT:
        names.append("loop")
    if qemu_img and not memory_met(fsck, qemu_img):
        names.append("memory")
    return names


def warm_row(image, result):
    fsck, loop = result["fsck"], result["loop"]
    qemu_img = result.get("qemu_img")
    against = ["–", "–", "–", "–"]
    if qemu_img:
        against = [seconds(qemu_img["wall"]), mib(qemu_img["peak_kib"]),
                   "%.1f×" % (qemu_img["wall"] / fsck["wall"]),
                   "%.2f" % (fsck["peak_kib"] / qemu_img["peak_kib"])]
    target = "%d×" % image.times_faster if image.times_faster else "–"
    return row([image.title, against[0], against[1], seconds(fsck["wall"]),
                mib(fsck["peak_kib"]), against[2], target,
                seconds(loop["wall"]), "%.2f" % (fsck["wall"] / loop["wall"]),
                against[3], ", ".join(missed(image, result)) or "none"])


def repair_header():
    return header(["image", "repair", "qemu-img s", "MiB", "qcow2-fsck s",
                   "MiB", "times faster", "target", "missed"])


def repair_missed(target, result):
    fsck, qemu_img = result["fsck"], result["qemu_img"]
    names = []
    if qemu_img["wall"] < fsck["wall"] * target:
        names.append("speed")
    if fsck["peak_kib"] > qemu_img["peak_kib"]:
        names.append("memory")
    return names


def repair_row(image, mode, target, result):
    fsck, qemu_img = result["fsck"], result["qemu_img"]
    return row([image.title, mode, seconds(qemu_img["wall"]),
                mib(qemu_img["peak_kib"]), seconds(fsck["wall"]),
                mib(fsck["peak_kib"]),
                "%.1f×" % (qemu_img["wall"] / fsck["wall"]), "%d×" % target,
                ", ".join(repair_missed(target, result)) or "none"])


def memory_limit_header():
    return header(["image", "`--memory-limit`", "s", "MiB", "without: s",
                   "MiB", "missed"])


UNITS = {"K": 1, "M": 1024, "G": 1024 * 1024}


def limit_kib(limit):
    """A --memory-limit such as 512K or 4M in KiB."""
    return int(limit[:-1]) * UNITS[limit[-1]]


def memory_limit_kept(limit, result):
    """The limit is for the reference map; the floor is for everything else."""
    return result["peak_kib"] <= limit_kib(limit) + MEMORY_FLOOR_KIB


def memory_limit_row(image, limit, result):
    limited, free = result["limited"], result["free"]
    return row([image.title, limit, seconds(limited["wall"]),
                mib(limited["peak_kib"]), seconds(free["wall"]),
                mib(free["peak_kib"]),
                "none" if memory_limit_kept(limit, limited) else "memory"])


def cold_header():
    return header(["image", "bare loop s", "--jobs=1 s", "--jobs=8 s",
                   "missed"])


def cold_row(image, result):
    loop = result["loop"]["wall"]
    names = []
    if result["fsck_1"]["wall"] > loop * COLD_TOLERANCE:
        names.append("one thread")
    if result["fsck_8"]["wall"] >= loop:
        names.append("eight threads")
    return row([image.title, seconds(loop), seconds(result["fsck_1"]["wall"]),
                seconds(result["fsck_8"]["wall"]), ", ".join(names) or "none"])


def small_line(runs, result):
    return ("Small image, start to finish: %.1f ms, %s MiB (median of %d runs)."
            % (result["wall"] * 1000, mib(result["peak_kib"]), runs))
