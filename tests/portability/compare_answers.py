#!/usr/bin/env python3
"""The example classify_image, built for another machine, must answer as this machine's program does.

It prints percents with two decimals; the same classes in the same order, each within one of the last place, which is far
more than rounding moves them by.
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--example", required=True)
    parser.add_argument("--digits", required=True, type=pathlib.Path)
    parser.add_argument("--emulator", type=shlex.split, default=[],
                        help="the command that runs the example; none: this machine does")
    options = parser.parse_args()

    pictures = sorted(str(path) for path in options.digits.glob("pictures/*/*.png"))
    if len(pictures) != 20:
        sys.exit(f"{options.digits}: {len(pictures)} pictures, expected 20")
    lines = subprocess.run([options.program, "classify", "--json", "--top", "3", *pictures], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    example = [*options.emulator, options.example]
    wrong = 0
    for picture, line in zip(pictures, lines, strict=True):
        expected = [(one["index"], 100 * one["probability"]) for one in json.loads(line)["top"]]
        text = subprocess.run([*example, str(options.digits / "digits.safetensors"), picture], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        found = [(int(index), float(percent)) for percent, index in re.findall(r"([\d.]+) %  class (\d+)", text)]
        same = [index for index, _ in found] == [index for index, _ in expected]
        if not same or any(abs(a - b) > 0.0101 for (_, a), (_, b) in zip(found, expected, strict=True)):
            wrong += 1
            print(f"{picture}: found {found}, expected {expected}")
    print(f"{len(pictures) - wrong} of {len(pictures)} pictures answered as the program answers them")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
