"""The system calls that a unit's SystemCallFilter= lets through."""
import errno
import subprocess

import seccomp


def _sets():
    """What systemd's sets of system calls hold, by name."""
    listing = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    sets = {}
    for line in listing.splitlines():
        if line.startswith("@"):
            members = sets.setdefault(line.strip(), [])
        elif line.strip() and not line.strip().startswith("#"):
            members.append(line.strip())
    return sets


def _calls_of(name, sets):
    if not name.startswith("@"):
        return {name}
    return set().union(*(_calls_of(member, sets) for member in sets[name]))


def allowed_calls(filters):
    """The names of the calls that the values of SystemCallFilter= allow."""
    sets = _sets()
    allowed = set()
    for value in filters:
        calls = set().union(
            *(_calls_of(name, sets) for name in value.lstrip("~").split())
        )
        if value.startswith("~"):
            allowed -= calls
        else:
            allowed |= calls
    return allowed


def confine(calls):
    """Lets this process, and what it runs, make no other calls: EPERM."""
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for call in calls:
        try:
            rules.add_rule(seccomp.ALLOW, call)
        except RuntimeError:
            pass  # not a call of this architecture
    rules.load()
