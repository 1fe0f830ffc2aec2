"""The rule for the programs that users run."""

# An optimised program carries all its libraries, so that it starts in less
# time and with less memory than a dynamically linked one and runs on any Linux
# of its architecture. A position-independent one, because it reads files that
# may have been made to attack it. GNU ld, as gold cannot link these.
_STATIC = [
    "-static-pie",
    "-fuse-ld=bfd",
    "-Wl,--gc-sections",
]

# As near to that as a program can come that loads libraries when it is asked
# for what they do: it needs the system's C library (libc, libm), but nothing
# else, and exports nothing that a library could take for its own.
_LOADING = [
    "-pie",
    "-fuse-ld=bfd",
    "-static-libgcc",
    "-Wl,--as-needed",
    "-Wl,--exclude-libs,ALL",
    "-Wl,--gc-sections",
]

def program(name, deps, loads_libraries = False, linkopts = [], **kwargs):
    """A cc_binary that carries its libraries under --config=opt.

    Every library it depends on must be there as lib*.a.

    Args:
      name: of the target and the program.
      deps: as for cc_binary.
      loads_libraries: whether it uses dlopen or a name service (getpwnam,
        getaddrinfo). Without it the optimised program is one static file; with
        it, one file that needs the system's C library.
      linkopts: as for cc_binary.
      **kwargs: as for cc_binary.
    """
    native.cc_binary(
        name = name,
        linkopts = linkopts + select({
            "//tools:optimised": _LOADING if loads_libraries else _STATIC,
            "//conditions:default": [],
        }),
        # After everything that needs it.
        deps = deps + select({
            "//tools:optimised": ["//third_party:cpp_runtime"],
            "//conditions:default": [],
        }),
        **kwargs
    )
