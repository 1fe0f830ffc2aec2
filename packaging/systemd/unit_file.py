"""A unit file as systemd reads it, as far as the units here go."""
import glob
import re
import shlex
import subprocess


class UnitFile:
    """The settings of a unit, and its commands for one instance.

    `manager_root` stands before the folder that is the specifier %S and before
    the file of EnvironmentFile=, so that a test need not write to the real
    ones."""

    def __init__(self, path, name, manager_root):
        self.settings = {}
        self.manager_root = manager_root
        self.name = name
        instance = name[name.index("@") + 1 : name.rindex(".")]
        self.specifiers = {
            "%": "%",
            "n": name,
            "i": instance,
            "S": manager_root + "/var/lib",
        }
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"^#.*\n", "", file.read(), flags=re.M)
        for line in text.replace("\\\n", " ").splitlines():
            key, equals, value = line.partition("=")
            if equals:
                self.settings.setdefault(key, []).append(value)

    def expand(self, value):
        """`value` with its specifiers replaced."""

        def replacement(match):
            if match[1] == "f":
                return self.folder()
            return self.specifiers[match[1]]

        return re.sub("%(.)", replacement, value)

    def folder(self):
        """%f: the instance as the path it is the escaped form of."""
        return subprocess.run(
            ["systemd-escape", "--unescape", "--path", self.specifiers["i"]],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.rstrip("\n")

    def environment_file(self):
        """Where the file of EnvironmentFile= is."""
        value = self.settings["EnvironmentFile"][0].lstrip("-")
        return self.manager_root + self.expand(value)

    def environment(self):
        """The variables of Environment=, then those of EnvironmentFile=."""
        lines = [*map(self.expand, self.settings.get("Environment", []))]
        # systemd takes the name for a pattern.
        for path in glob.glob(self.environment_file()):
            with open(path, encoding="utf-8") as file:
                lines += file.read().splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        variables["STATE_DIRECTORY"] = self.expand(
            "%S/" + self.settings["StateDirectory"][0]
        )
        return variables

    def command(self, key, variables):
        """The arguments of a command, without the prefix of its path."""
        arguments = []
        for word in shlex.split(self.settings[key][0].lstrip("-")):
            if re.fullmatch(r"\$\w+", word):
                arguments += variables.get(word[1:], "").split()
                continue
            word = re.sub(
                r"\$(\$|\{(\w+)\})",
                lambda match: variables.get(match[2], "") if match[2] else "$",
                word,
            )
            arguments.append(self.expand(word))
        return arguments
