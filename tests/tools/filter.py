#!/usr/bin/env python3
"""The program as a filter, `plainnet classify --json -`, in the hands of other programs.

    filter.py PROGRAM SOURCE_FOLDER each_line    answers a line before it is sent the next
    filter.py PROGRAM SOURCE_FOLDER pipe         as Spark's RDD.pipe(): one thread writes all, another reads
    filter.py PROGRAM SOURCE_FOLDER xargs        several at a time, to one file
    filter.py PROGRAM SOURCE_FOLDER memory       two million paths, in the memory of ten thousand
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

PROGRAM, SOURCE, WHAT = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
PICTURES = sorted(str(path) for path in (SOURCE / "models/digits/pictures").rglob("*.png"))
MISSING = "/nowhere/missing.png"

# The address sanitizer, in builds that have it, would keep freed memory.
os.environ["ASAN_OPTIONS"] = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"


def check(condition, message):
    if not condition:
        sys.exit(f"error: {message}")


def start(*options, stdout=subprocess.PIPE):
    return subprocess.Popen([PROGRAM, "classify", "--json", "--top", "1", "--threads", "1", *options, "-"],
                            stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL)


def label(answer):
    return answer["top"][0]["label"]


def each_line():
    process = start()
    for path in [*PICTURES, MISSING, PICTURES[0]]:
        process.stdin.write(path.encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())  # for ever, if it waits for more lines: CTest's timeout
        check(answer["file"] == path, f"{path} was answered by {answer}")
        check(path == MISSING and "error" in answer or label(answer) == pathlib.Path(path).parent.name, f"{answer}")
    process.stdin.close()
    check(process.wait() == 1, "a file was missing, but the exit code is not 1")


def pipe():
    paths = (PICTURES + [MISSING]) * 100
    process = start()

    def write():
        process.stdin.write("".join(path + "\n" for path in paths).encode())
        process.stdin.close()

    writer = threading.Thread(target=write)
    writer.start()
    answers = [json.loads(line) for line in process.stdout]
    writer.join()
    check([answer["file"] for answer in answers] == paths, "the answers are not in the order of the lines")
    check(sum("error" in answer for answer in answers) == 100, "not every missing file is an error")
    check(process.wait() == 1, "files were missing, but the exit code is not 1")


def xargs():
    paths = PICTURES * 50
    with tempfile.TemporaryFile() as out:
        subprocess.run(["xargs", "-0", "-P", "4", "-n", "100", PROGRAM, "classify", "--json", "--threads", "1"],
                       input="\0".join(paths).encode(), stdout=out, check=True)
        out.seek(0)
        answers = [json.loads(line) for line in out]  # fails for a line that another process tore
    check(sorted(answer["file"] for answer in answers) == sorted(paths), "not every picture has one answer")


def resident_kilobytes(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])


def memory():
    if not pathlib.Path("/proc/self/status").exists():
        print("there is no /proc here")
        sys.exit(77)
    warm_up, total, picture_every = 10_000, 2_000_000, 500
    with tempfile.TemporaryDirectory() as folder:
        tiny = pathlib.Path(folder) / "tiny.pgm"
        tiny.write_bytes(b"P5 1 1 255\n\x10")
        # Nobody reads the answers: that would take as long again as they take.
        process = start("--weights", str(SOURCE / "tests/data/checkpoints/float32.safetensors"),
                        stdout=subprocess.DEVNULL)
        block = (MISSING.encode() + b"\n") * (picture_every - 1) + str(tiny).encode() + b"\n"
        sizes = []
        for count in (warm_up, total - warm_up):
            for _ in range(count // picture_every):
                process.stdin.write(block)
            process.stdin.flush()
            sizes.append(resident_kilobytes(process))  # all but what the pipe holds, 64 KiB, is answered
        process.stdin.close()
        check(process.wait() == 1, "files were missing, but the exit code is not 1")
    print(f"resident after {warm_up} paths: {sizes[0]} kB, after {total}: {sizes[1]} kB")
    # One byte kept of each path would be 1940 kB.
    check(sizes[1] - sizes[0] < 1000, "the program keeps something of every path")


{"each_line": each_line, "pipe": pipe, "xargs": xargs, "memory": memory}[WHAT]()
