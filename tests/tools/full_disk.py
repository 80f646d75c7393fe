#!/usr/bin/env python3
"""What the program does on a disk that is really full: a file system in memory, of a size that leaves no room, some, all
but a page, or none for another name. Each command must say so in one line, with exit code 1, and leave the old file and
nothing else; with a page more it must succeed.

    full_disk.py PROGRAM SOURCE_FOLDER

Mounts it in a namespace of its own, which some systems allow to nobody but root, or not at all: then it exits with 77,
which CTest counts as skipped.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
DIGITS = SOURCE / "models/digits/digits.safetensors"
PAGE = 4096
OLD = b"the old file, which is precious"
NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def check(condition, message):
    if not condition:
        sys.exit(f"error: {message}")


def run(arguments, stdout=subprocess.PIPE):
    return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          text=True, check=False)


def free_pages(disk):
    return os.statvfs(disk).f_bavail


def fill(disk, pages_left):
    """Takes all pages of the disk but these."""
    pages = free_pages(disk) - pages_left
    (disk / "filler").write_bytes(b"\1" * (pages * PAGE))
    check(free_pages(disk) == pages_left, f"{free_pages(disk)} pages are free, not {pages_left}")


def expect_failure(done, what, disk, before, path):
    lines = done.stderr.splitlines()
    expected = rf"plainnet: {re.escape(str(path))}: cannot (be written|write there): No space left on device"
    check(done.returncode == 1, f"{what}: exit code {done.returncode}, not 1: {done.stderr}")
    check(len(lines) == 1 and re.fullmatch(expected, lines[0]), f"{what}: says {lines}, expected {expected}")
    after = {file.name: file.read_bytes() for file in disk.iterdir()}
    check(after == before, f"{what}: {sorted(before)} became {sorted(after)}, or their bytes changed")


def try_command(name, options, source, size):
    """Runs `plainnet OPTIONS SOURCE OUT`, which writes `size` bytes, on disks with more and more room."""
    print(f"{name}: writes {size} bytes")
    pages = -(-size // PAGE)
    for in_place in (False, True):
        for left in (0, 1, pages // 2, pages - 1, pages):
            with Disk(f"size={(pages + 300) * PAGE}") as disk:
                out = disk / "out"
                out.write_bytes(source.read_bytes() if in_place else OLD)
                fill(disk, left)
                before = {file.name: file.read_bytes() for file in disk.iterdir()}
                done = run([*options, out if in_place else source, out])
                what = f"{name}{', in place' * in_place}, {left} of {pages} pages free"
                if left < pages:
                    expect_failure(done, what, disk, before, out)
                else:
                    check(done.returncode == 0, f"{what}: exit code {done.returncode}: {done.stderr}")
                    check(out.stat().st_size == size, f"{what}: {out.stat().st_size} bytes, not {size}")
                    check({file.name for file in disk.iterdir()} == {"out", "filler"}, f"{what}: leaves another file")


class Disk:
    """A file system of its own in memory, as long as the block that it is made for."""

    def __init__(self, options):
        self.options = options

    def __enter__(self):
        self.folder = tempfile.mkdtemp()
        subprocess.run(["mount", "-t", "tmpfs", "-o", self.options, "plainnet-test", self.folder], check=True)
        return pathlib.Path(self.folder)

    def __exit__(self, *_):
        subprocess.run(["umount", self.folder], check=True)
        os.rmdir(self.folder)


def no_name_left():
    """Room, but for no other file."""
    with Disk("size=4m,nr_inodes=2") as disk:  # of the folder and of one file
        out = disk / "out"
        out.write_bytes(OLD)
        expect_failure(run(["fold", DIGITS, out]), "fold, no inode free", disk, {"out": OLD}, out)


def standard_output():
    """Answers that a shell writes to a file."""
    with Disk("size=64k") as disk:
        fill(disk, 0)
        with open(disk / "answers", "wb") as answers:
            done = run(["classify", "--json", SOURCE / "models/digits/pictures"], stdout=answers)
        check(done.returncode == 1, f"classify: exit code {done.returncode}, not 1")
        check(done.stderr == "plainnet: standard output: cannot be written: No space left on device\n",
              f"classify: says {done.stderr}")


def main():
    if "inside" not in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            mount = [*NAMESPACE, "mount", "-t", "tmpfs", "-o", "size=64k", "plainnet-test", folder]
            if not shutil.which("unshare") or subprocess.run(mount, check=False).returncode != 0:
                print("skipped: no file system can be mounted in a namespace of its own here")
                sys.exit(77)
        os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, *sys.argv, "inside"])
    with tempfile.TemporaryDirectory() as folder:
        for name, options in (("fold", ["fold"]), ("convert", ["convert"]), ("convert --half f16", ["convert", "--half", "f16"])):
            out = pathlib.Path(folder) / "out"
            done = run([*options, DIGITS, out])
            check(done.returncode == 0, f"{name}: {done.stderr}")
            try_command(name, options, DIGITS, out.stat().st_size)
    no_name_left()
    standard_output()


main()
