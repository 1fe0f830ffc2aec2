"""The rule for fuzz targets."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_target(name, deps, seeds = [], random_inputs = 20000, size = "small"):
    """A libFuzzer binary and a test of the same code that every build can run.

    `bazel build --config=fuzz //fuzz:NAME` gives the libFuzzer binary (other
    builds leave it out). NAME_test runs the code over the seeds and over
    `random_inputs` inputs made from a fixed number; as `NAME_test FILE...` it
    replays inputs that libFuzzer found. `bazel test --config=fuzz
    //fuzz:NAME_fuzz` lets libFuzzer run for a few seconds, with the words of
    NAME.dict or, if there is none, of qcow2.dict.

    Args:
      name: the target's name; its code is NAME.cc.
      deps: what the code needs.
      seeds: files, or groups of files, the test runs over, one input each.
      random_inputs: how many inputs the test makes.
      size: of the test.
    """
    cc_library(
        name = name + "_code",
        testonly = True,
        srcs = [name + ".cc"],
        deps = deps + ["//fuzz:fuzz_target"],
        alwayslink = True,
        visibility = ["//visibility:private"],
    )
    cc_binary(
        name = name,
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [":" + name + "_code"],
    )
    dictionary = (native.glob([name + ".dict"]) or ["qcow2.dict"])[0]
    native.sh_test(
        name = name + "_fuzz",
        size = "medium",
        srcs = ["//fuzz:run_for_a_while.sh"],
        args = ["$(location :%s)" % name, "$(location %s)" % dictionary] +
               ["$(locations %s)" % seed for seed in seeds],
        data = [":" + name, dictionary] + seeds,
        tags = ["manual"],
    )
    cc_test(
        name = name + "_test",
        size = size,
        args = ["--random=%d" % random_inputs] +
               ["$(locations %s)" % seed for seed in seeds],
        data = seeds,
        deps = [
            ":" + name + "_code",
            "//fuzz:replay_main",
        ],
    )
