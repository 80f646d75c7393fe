#!/usr/bin/env python3
"""What the documents say and the code can check: links and names of files and tests that must exist, the limits of
SECURITY.md, its fuzz targets.

    documents.py SOURCE_FOLDER
"""

import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
problems = []


def read(path):
    return (source / path).read_text(encoding="utf-8")


# ---- Files that are named
documents = [source / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "packaging/README.md")]
documents += sorted((source / "docs").glob("*.md"))
for document in documents:
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)\)", text):
        if "://" not in link and not (document.parent / link).exists():
            problems.append(f"{document.name}: the link {link} leads nowhere")
    if document.name != "CONTRIBUTING.md":  # which names files that a contributor would add
        for name in re.findall(r"`((?:tests|tools|include|docs|packaging|examples|bench)/[\w./-]+)`", text):
            if not (source / name).exists():
                problems.append(f"{document.name}: there is no {name}")

# ---- Tests that are named: of Google Test, "Suite.Name" or "Suite.Beginning…"; of CTest, whose names have dots, each part
# of which is a word in the CMakeLists.txt that adds it
cases = [f"{suite}.{case}" for file in (source / "tests").rglob("*_test.cpp")
         for suite, case in re.findall(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", file.read_text(encoding="utf-8"), re.MULTILINE)]
words = set(re.findall(r"\w+", "".join(file.read_text(encoding="utf-8")
                                       for file in (source / "tests").rglob("CMakeLists.txt"))))
for document in documents:
    text = document.read_text(encoding="utf-8")
    for name, cut in re.findall(r"`([A-Z]\w+\.\w*)(…?)`", text):
        if name.partition(".")[0] in {case.partition(".")[0] for case in cases} or cut:
            if not any(case.startswith(name) if cut else case == name for case in cases):
                problems.append(f"{document.name}: there is no test {name}{cut}")
    for name in re.findall(r"`((?:packaging|sanitizers|style|filter|web|portability)\.[\w.*]+)`", text):
        for word in set(name.split(".")) - {"*", "py"}:
            if word not in words:
                problems.append(f"{document.name}: there is no test {name}")

# ---- Limits: the default of each member of each struct …Limits
security = read("SECURITY.md")
units = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
documented = {}
for name, value in re.findall(r"^\| `(\w+Limits::\w+)` \| ([^|]+) \|", security, re.MULTILINE):
    number = re.fullmatch(r"(\d+)(?: (Ki|Mi|Gi)B?)?", value.strip())
    documented[name] = int(number[1]) * units[number[2] or ""] if number else value.strip()
defaults = {}
for header in sorted((source / "include").rglob("*.hpp")):
    for struct, body in re.findall(r"struct (\w+Limits) \{(.*?)\n\};", header.read_text(encoding="utf-8"), re.DOTALL):
        for member, value in re.findall(r"^  [\w:]+ (\w+) = ([^;]+);", body, re.MULTILINE):
            if value == "{}":
                continue  # a struct …Limits itself
            shifted = re.fullmatch(r"(?:[\w:]+\{)?([\d']+)\}?(?: << (\d+))?", value)
            number = int(shifted[1].replace("'", "")) << int(shifted[2] or 0) if shifted else value
            defaults[f"{struct}::{member}"] = number
if len(defaults) < 20:
    problems.append(f"only {len(defaults)} limits found in the headers; has their form changed?")
for name in sorted(defaults.keys() | documented.keys()):
    if defaults.get(name) != documented.get(name):
        problems.append(f"SECURITY.md: {name} is {documented.get(name)}, in the headers {defaults.get(name)}")

# ---- Fuzz targets: the last column of the table
targets = set(re.findall(r'FuzzTarget\{"(\w+)"', read("tests/fuzz/targets.hpp")))
named = set(re.findall(r"\| `(\w+)` \|$", security, re.MULTILINE))
if targets != named or not targets:
    problems.append(f"SECURITY.md: fuzz targets {sorted(named)}, in tests/fuzz/targets.hpp {sorted(targets)}")

for problem in problems:
    print(f"error: {problem}")
print(f"{len(documents)} documents, {len(defaults)} limits, {len(targets)} fuzz targets")
sys.exit(1 if problems else 0)
