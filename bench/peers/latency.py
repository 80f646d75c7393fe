#!/usr/bin/env python3
"""Time networks beside ONNX Runtime and PyTorch, all in the same run.

    npm install onnxruntime-node --ignore-scripts
    /usr/bin/python3 bench/peers/latency.py SOURCES [VARIANT ...] [--pytorch]

SOURCES is a folder with copies of the published code, which is not part of
plainnet; those of the variants' families suffice:

    VanillaNet             https://github.com/huawei-noah/VanillaNet
    poolformer             https://github.com/sail-sg/poolformer
    metaformer             https://github.com/sail-sg/metaformer
    pytorch-image-models   https://github.com/huggingface/pytorch-image-models

Debian's python3-torch is enough to run them (and python3-torchvision and
python3-yaml for pytorch-image-models; libopenblas0, since with the reference
BLAS PyTorch's attention takes ten times as long), node for ONNX Runtime.

Each variant gets random weights with which nothing is the identity.  The
published code writes them as a checkpoint, for plainnet, and as ONNX, in the
form that is best for ONNX Runtime: VanillaNet deployed, NFNet with its
weights standardised, constants folded, the batch and the size fixed; of codes
that publish the same network, timm's, whose 1x1 convolutions ONNX Runtime
runs faster than the other's linear layers (published.py).  With --pytorch the
same as TorchScript too, which PyTorch freezes and optimises for inference.

Then processes load one each and run on the same input: latency
(latency.cpp), onnxruntime_session.js and pytorch_session.py.  Unless their
answers agree, nothing is timed.  They take turns; the others wait without using
the processors, which for ONNX Runtime's threads takes a while.  A turn begins
with half a second of runs that are not counted: the caches still hold what the
other used, and processors that were idle are slow at first (in a virtual
machine, vanillanet_5 on two threads took 85 ms in the first 0.4 s and 59 later).
What the machine can do at most is measured with every turn, and shares of it
are medians over the turns.

Prints a table of medians: of the times of all runs, and of the ratios, the
peer's time over ours, of the turns, since what disturbs a machine mostly lasts
longer than a turn; the range of these is beside it.  --json FILE adds a line
for each row to a file.  Where other programs run, the times of the processors
say more: the last column is their ratio.  With --work FOLDER what was exported
is kept there, and used the next time.  Exits with 1 if an answer differs or
something cannot be run.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from published import Failure, Files, numbers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


# ---- Timing.

class Process:
    """One that answers requests, a line each."""

    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(
            [str(word) for word in command], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failure(f"{self.name} ended, asked to {request}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def largest_difference(ours, theirs):
    """Of two lists of logits, over the largest logit."""
    if len(ours) != len(theirs):
        return float("inf")
    largest = max(map(abs, theirs))
    return max(abs(a - b) for a, b in zip(ours, theirs)) / largest


def write_input(path, batch, side):
    """Images that are not alike: patches of random colours, and noise."""
    import numpy
    random = numpy.random.default_rng(batch)
    patch = 32
    patches = -(-side // patch)
    coarse = random.normal(size=(batch, 3, patches, patches))
    fine = coarse.repeat(patch, 2).repeat(patch, 3)[:, :, :side, :side]
    noise = random.normal(scale=0.5, size=(batch, 3, side, side))
    (fine + noise).astype(numpy.float32).tofile(path)


class Turns:
    """What one process answered, turn by turn."""

    def __init__(self):
        self.turns = []

    def times(self):
        """The median of each turn, ms."""
        return [statistics.median(turn["ms"]) for turn in self.turns]

    def figures(self, gflop, peaks):
        shares = [gflop / ms * 1e3 / peak["gflops"]
                  for ms, peak in zip(self.times(), peaks)]
        runs = [ms for turn in self.turns for ms in turn["ms"]]
        return {"median_ms": statistics.median(runs),
                "best_turn_ms": min(self.times()),
                "cpu_ms": statistics.median(turn["cpu_ms"]
                                            for turn in self.turns),
                "share_of_peak": statistics.median(shares),
                "runs": len(runs)}


def sessions(options, variant, files, threads, batch):
    """Processes by the names of what they run, plainnet's first."""
    rest = [files.input, batch, variant["input"], threads]
    commands = {
        "plainnet": [options.program, files.checkpoint, variant["name"]],
        "ONNX Runtime " + options.version: [
            options.node, HERE / "onnxruntime_session.js", options.package,
            files.onnx[batch]]}
    if options.pytorch:
        commands["PyTorch"] = [sys.executable, HERE / "pytorch_session.py",
                               files.torchscript[batch]]
    return {name: Process(name, command + rest)
            for name, command in commands.items()}


def compare(options, variant, files, threads, batch):
    """A row of the result for each peer."""
    side = variant["input"]
    write_input(files.input, batch, side)
    with contextlib.ExitStack() as stack:
        processes = sessions(options, variant, files, threads, batch)
        for process in processes.values():
            stack.enter_context(process)
        us, *peers = processes.values()
        answer = us.ask("answer")["logits"]
        differences = {}
        for peer in peers:
            difference = largest_difference(answer, peer.ask("answer")["logits"])
            # All round as floats do, each in its own order: the errors of the
            # layers add up to some 1e-6.
            if not difference < 1e-4:
                raise Failure(f"{variant['name']}: the answers of plainnet and "
                              f"{peer.name} differ by {difference:.1e} of the "
                              "largest logit")
            differences[peer.name] = difference
        peaks = []
        turns = {name: Turns() for name in processes}
        for _ in range(options.turns):
            peaks.append(us.ask("peak"))
            for name, process in processes.items():
                turns[name].turns.append(process.ask(f"run {options.seconds}"))
    for name, of_one in turns.items():
        if not all(turn.get("rested", True) for turn in of_one.turns):
            print(f"{name}'s threads did not come to rest", file=sys.stderr)

    gflop = 2 * peaks[0]["macs"] / 1e9
    ours = turns["plainnet"].figures(gflop, peaks)
    rows = []
    for peer in peers:
        ratios = [b / a for a, b in zip(turns["plainnet"].times(),
                                        turns[peer.name].times())]
        theirs = turns[peer.name].figures(gflop, peaks)
        rows.append({
            "model": variant["name"], "threads": threads, "batch": batch,
            "height": side, "width": side, "gmacs": gflop / 2,
            "published_top1": variant["published_top1"], "peer": peer.name,
            "isa": peaks[0]["isa"],
            "peak_gflops": statistics.median(p["gflops"] for p in peaks),
            **ours, **{"peer_" + key: x for key, x in theirs.items()},
            "ratio": statistics.median(ratios),
            "least_ratio": min(ratios), "most_ratio": max(ratios),
            "difference": differences[peer.name]})
    return rows


HEAD = (f"{'model':27} {'threads':>7} {'batch':>5} {'ours, ms':>9} "
        f"{'peer':20} {'its, ms':>9} {'ratio':>6} {'range':>11} "
        f"{'of peak':>8} {'its':>7} {'CPU':>6}")


def table_row(row):
    spread = f"{row['least_ratio']:.2f}-{row['most_ratio']:.2f}"
    return (f"{row['model']:27} {row['threads']:7} {row['batch']:5} "
            f"{row['median_ms']:9.2f} {row['peer']:20} "
            f"{row['peer_median_ms']:9.2f} "
            f"{row['ratio']:6.2f} {spread:>11} "
            f"{100 * row['share_of_peak']:6.1f} % "
            f"{100 * row['peer_share_of_peak']:5.1f} % "
            f"{row['peer_cpu_ms'] / row['cpu_ms']:6.2f}")


# ---- Arguments.

def find_onnxruntime(named):
    """The folder of the package, and its version."""
    places = [named] if named else [
        folder / "node_modules/onnxruntime-node"
        for folder in (pathlib.Path.cwd(), HERE, ROOT)]
    for place in places:
        about = place.resolve() / "package.json"
        if about.exists():
            return place.resolve(), json.loads(about.read_text())["version"]
    raise Failure("ONNX Runtime is not in " + ", ".join(map(str, places))
                  + ": npm install onnxruntime-node --ignore-scripts, or name "
                  "its folder with --onnxruntime")


def need_program(path, target):
    if not shutil.which(path):
        raise Failure(f"{path}: is not there, build it with cmake --build "
                      f"--preset release --target {target}")


def chosen_variants(options):
    text = subprocess.run([options.plainnet, "models", "--json"], check=True,
                          text=True, stdout=subprocess.PIPE).stdout
    variants = {}
    for line in text.splitlines():
        variant = json.loads(line)
        variants[variant["name"]] = variant
    if not options.variants:  # those of which something is published
        return [v for v in variants.values() if v["published_top1"]]
    for name in options.variants:
        if name not in variants:
            raise Failure(f"{name}: plainnet models does not list it")
    return [variants[name] for name in options.variants]


def measure(options, folder):
    variants = chosen_variants(options)
    print_head = True
    for i, variant in enumerate(variants):
        name = variant["name"]
        progress = f"{i + 1} of {len(variants)}: {name}"
        files = Files(folder, name, options.batch, options.pytorch)
        if not files.are_there():
            print(f"{progress}, export", file=sys.stderr)
            subprocess.run(
                [sys.executable, "-W", "ignore", HERE / "published.py",
                 options.sources, folder, name, str(variant["input"]),
                 ",".join(map(str, options.batch))]
                + ["--pytorch"] * options.pytorch, check=True)
        if options.export:
            continue
        for threads in options.threads:
            for batch in options.batch:
                print(f"{progress}, {threads} threads, batch {batch}",
                      file=sys.stderr)
                rows = compare(options, variant, files, threads, batch)
                if print_head:
                    print(HEAD)
                print_head = False
                for row in rows:
                    print(table_row(row), flush=True)
                    if options.json:
                        with open(options.json, "a") as file:
                            file.write(json.dumps(row) + "\n")
        files.input.unlink(missing_ok=True)
        if not options.work:
            for file in files.exported():
                file.unlink()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("variants", nargs="*", metavar="VARIANT",
                        help="of plainnet models; without them, all")
    parser.add_argument("--threads", type=numbers, default=[1, 2],
                        help="1,2 without it")
    parser.add_argument("--batch", type=numbers, default=[1, 8],
                        help="1,8 without it")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3,
                        help="how long a turn takes, at least; 0.3 without it")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--work", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--export", action="store_true",
                        help="only export, to the folder of --work")
    parser.add_argument("--onnxruntime", type=pathlib.Path, metavar="FOLDER",
                        help="of the package; without it, node_modules here "
                        "or beside this script is looked at")
    parser.add_argument("--pytorch", action="store_true",
                        help="beside PyTorch too")
    parser.add_argument("--node", default="node")
    parser.add_argument("--program", type=pathlib.Path,
                        default=ROOT / "build/release/bench/latency")
    parser.add_argument("--plainnet", type=pathlib.Path,
                        default=ROOT / "build/release/tools/plainnet")
    options = parser.parse_intermixed_args()
    try:
        need_program(options.plainnet, "plainnet")
        if not options.export:
            need_program(options.program, "bench_latency")
            if not shutil.which(options.node):
                raise Failure(f"{options.node}: is not there (Debian: apt "
                              "install nodejs npm)")
            options.package, options.version = find_onnxruntime(
                options.onnxruntime)
        if options.work:
            options.work.mkdir(parents=True, exist_ok=True)
            return measure(options, options.work)
        with tempfile.TemporaryDirectory() as folder:
            measure(options, pathlib.Path(folder))
    except (Failure, OSError) as error:
        sys.exit(f"{pathlib.Path(__file__).name}: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(1)


if __name__ == "__main__":
    main()
