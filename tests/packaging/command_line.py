#!/usr/bin/env python3
"""The man page and the completions name exactly the commands and options of the program's own --help.

    command_line.py PROGRAM PACKAGING_FOLDER man|bash|zsh|fish

Exits with 77, which CTest counts as skipped, if the shell or man is not installed.
"""

import pathlib
import re
import shutil
import subprocess
import sys


def output_of(arguments, **options):
    return subprocess.run(arguments, check=True, capture_output=True, text=True, **options).stdout


def long_options(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


def commands_in_help(program):
    """Name → long options, and those of the program itself under the empty name."""
    top = output_of([program, "--help"])
    names = re.findall(r"^  ([a-z]+) ", top.split("\nSubcommands:\n")[1], re.MULTILINE)
    if len(names) < 10:
        sys.exit(f"only {names} found in the help text; has its form changed?")
    found = {"": options_in_help(top)}
    for name in names:
        found[name] = options_in_help(output_of([program, name, "--help"]))
    return found


def options_in_help(text):
    """The first words of the lines of its options; what a description mentions does not count."""
    lines = text.split("\nOptions:\n")[1].split("\n\n")[0].splitlines()
    return set().union(*(long_options(line.split()[0]) for line in lines if re.match(r"  -", line)))


def in_man_page(program, folder):
    page = folder / "man/plainnet.1"
    checked = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=False)
    if checked.returncode or checked.stderr:
        sys.exit(f"man --warnings -l: {checked.stderr}")
    text = page.read_text(encoding="utf-8")
    version = output_of([program, "--version"]).strip()
    if f'"{version}"' not in text:
        sys.exit(f'the line .TH does not say "{version}"')
    general, commands = text.replace("\\-", "-").split("\n.SH COMMANDS\n")
    sections = commands.split("\n.SH ")[0].split(".SS ")[1:]
    found = {section.split("\n")[0]: tags_of(section) | {"--help"} for section in sections}
    return found | {"": tags_of(general)}


def tags_of(section):
    """Options in the lines after .TP and .TQ, which are the headings of paragraphs."""
    return long_options("\n".join(re.findall(r"^\.T[PQ]\n(.*)", section, re.MULTILINE)))


def by_asking(names, ask):
    """ask(words) gives what a shell offers after these words of a command line, the last of them unfinished."""
    first = set(ask(["plainnet", ""])) | set(ask(["plainnet", "--"]))
    found = {name: {word for word in ask(["plainnet", name, "--"]) if word.startswith("--")} for name in names if name}
    # A command that the help text does not have comes out as one without options.
    commands = {word for word in first if re.fullmatch("[a-z]+", word)}
    return {name: set() for name in commands} | found | {"": {word for word in first if word.startswith("--")}}


def in_bash(program, folder, names):
    script = """source "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _plainnet; printf '%s\\n' "${COMPREPLY[@]}" """
    ask = lambda words: output_of(["bash", "-c", script, "bash", folder / "completions/plainnet", *words]).split()
    if "vanillanet_5" not in ask([program, "classify", "--model", "vanilla"]):
        sys.exit("--model does not offer vanillanet_5")
    return by_asking(names, ask)


def in_zsh(_, folder, names):
    # The functions that show a menu print what they are given: one specification of an option a line.
    script = """_arguments() { print -rl -- "$@" }; _describe() { print -rl -- ${(P)2} }; compadd() { }
                file=$1; shift; words=("$@") CURRENT=$# PREFIX=${@[-1]}; source $file"""
    def ask(words):
        lines = output_of(["zsh", "-f", "-c", script, "zsh", folder / "completions/_plainnet", *words]).splitlines()
        return [re.sub(r"^\([^)]*\)", "", line).split("[")[0].split(":")[0] for line in lines]
    return by_asking(names, ask)


def in_fish(_, folder, names):
    script = "source $argv[1]; complete --do-complete $argv[2]"
    def ask(words):
        line = " ".join(words)
        answers = output_of(["fish", "--no-config", "-c", script, folder / "completions/plainnet.fish", line])
        return [answer.split("\t")[0] for answer in answers.splitlines()]
    return by_asking(names, ask)


def main():
    program, folder, what = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    if not shutil.which(what):
        print(f"{what} is not installed")
        return 77
    expected = commands_in_help(program)
    if what == "man":
        found = in_man_page(program, folder)
    else:
        found = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}[what](program, folder, list(expected))
    wrong = 0
    for name in sorted(expected.keys() | found.keys()):
        missing = expected.get(name, set()) - found.get(name, set())
        unknown = found.get(name, set()) - expected.get(name, set())
        if name not in found or name not in expected or missing or unknown:
            where = "nowhere" if name not in found else "unknown to --help" if name not in expected else "differs"
            print(f"error: plainnet {name}: {where}; missing {sorted(missing)}, unknown {sorted(unknown)}")
            wrong += 1
    print(f"{what}: {len(expected) - 1} commands, {sum(map(len, expected.values()))} options")
    return 1 if wrong else 0


sys.exit(main())
