"""The program as users run it, whatever the tests themselves are built like."""

# As --config=opt in .bazelrc.
_COPTS = [
    "-O3",
    "-DNDEBUG",
    "-Wno-restrict",
    "-Wno-array-bounds",
    "-Wno-stringop-overflow",
    "-Wno-stringop-overread",
]

def _optimise(settings, _):
    copts = settings["//command_line_option:copt"]
    if settings["//command_line_option:compilation_mode"] != "opt":
        copts = copts + _COPTS
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:copt": copts,
        "//command_line_option:start_end_lib": False,
        "//command_line_option:strip": "always",
    }

_optimisation = transition(
    implementation = _optimise,
    inputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
    ],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
        "//command_line_option:start_end_lib",
        "//command_line_option:strip",
    ],
)

def _optimised_program_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = program, target_file = ctx.executable.program)
    return [DefaultInfo(
        files = depset([program]),
        runfiles = ctx.runfiles([program]),
        executable = program,
    )]

optimised_program = rule(
    doc = "A program built as with --config=opt.",
    implementation = _optimised_program_impl,
    attrs = {
        "program": attr.label(
            cfg = _optimisation,
            executable = True,
            mandatory = True,
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
