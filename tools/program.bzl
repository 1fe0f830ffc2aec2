"""The rule for the programs that users run."""

# An optimised program carries all its libraries, so that it starts in half the
# time and with half the memory of a dynamically linked one and runs on any
# Linux of its architecture. A position-independent one, because it reads files
# that may have been made to attack it. GNU ld, as gold cannot link these.
_STATIC = [
    "-static-pie",
    "-fuse-ld=bfd",
    "-Wl,--gc-sections",
]

def program(name, linkopts = [], **kwargs):
    """A cc_binary, fully static under --config=opt.

    Every library it depends on must be there as lib*.a, and neither name
    service (getpwnam, getaddrinfo) nor dlopen can be used.

    Args:
      name: of the target and the program.
      linkopts: as for cc_binary.
      **kwargs: as for cc_binary.
    """
    native.cc_binary(
        name = name,
        linkopts = linkopts + select({
            "//tools:optimised": _STATIC,
            "//conditions:default": [],
        }),
        **kwargs
    )
