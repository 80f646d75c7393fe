#!/usr/bin/env python3
"""Time networks beside ONNX Runtime, both in the same run.

    npm install onnxruntime-node --ignore-scripts
    /usr/bin/python3 bench/peers/onnxruntime_latency.py SOURCES [VARIANT ...]

SOURCES is a folder with copies of the published code, which is not part of
plainnet; those of the variants' families suffice:

    VanillaNet             https://github.com/huawei-noah/VanillaNet
    poolformer             https://github.com/sail-sg/poolformer
    metaformer             https://github.com/sail-sg/metaformer
    pytorch-image-models   https://github.com/huggingface/pytorch-image-models

Debian's python3-torch is enough to run them (and python3-torchvision and
python3-yaml for pytorch-image-models), node for ONNX Runtime.

Each variant gets random weights with which nothing is the identity.  The
published code writes them as a checkpoint, for plainnet, and as ONNX, in the
form that is best for ONNX Runtime: VanillaNet deployed, NFNet with its
weights standardised, constants folded, the batch and the size fixed; of codes
that publish the same network, timm's, whose 1x1 convolutions ONNX Runtime
runs faster than the other's linear layers.

Then two processes load one each and run on the same input: latency
(bench/peers/latency.cpp) and onnxruntime_latency.js.  Unless their answers
agree, nothing is timed.  They take turns; the other one waits without using
the processors, which for ONNX Runtime's threads takes a while.  A turn begins
with half a second of runs that are not counted: the caches still hold what the
other used, and processors that were idle are slow at first (in a virtual
machine, vanillanet_5 on two threads took 85 ms in the first 0.4 s and 59 later).
What the machine can do at most is measured with every turn, and
shares of it are medians over the turns.

Prints a table of medians: of the times of all runs, and of the ratios, ONNX
Runtime's time over ours, of the turns, since what disturbs a machine mostly
lasts longer than a turn; the range of these is beside it.  --json FILE adds a line for each row to a file.  Where
other programs run, the times of the processors say more: the last column is
their ratio.  With --work FOLDER what was exported is kept there, and used the
next time.  Exits with 1 if an answer differs or something cannot be run.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import types

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REPOSITORIES = ("VanillaNet", "poolformer", "metaformer",
                "pytorch-image-models")


class Failure(Exception):
    pass


# ---- Step "export", a process of its own: needs PyTorch.

def source_of(sources, repository):
    """A copy of a repository, whatever stands before its name."""
    for folder in sorted(sources.iterdir()):
        if folder.is_dir() and folder.name.endswith(repository):
            return folder
    raise Failure(f"{sources}: holds no copy of {repository}")


def import_published(folder, module):
    sys.path.insert(0, str(folder))
    return __import__(module, fromlist=["*"])


def stand_in_for_timm(torch):
    """What the authors' codes take of timm, so that it need not fit them."""
    names = ("timm", "timm.data", "timm.models", "timm.models.layers",
             "timm.models.layers.helpers", "timm.models.registry")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    data, layers = sys.modules["timm.data"], sys.modules["timm.models.layers"]
    data.IMAGENET_DEFAULT_MEAN = data.IMAGENET_DEFAULT_STD = (0.5, 0.5, 0.5)
    # Every weight is replaced, so none need be initialised.
    layers.trunc_normal_ = lambda weight, **_: weight
    layers.weight_init = types.SimpleNamespace(
        trunc_normal_=lambda weight, **_: weight)
    layers.DropPath = lambda rate: torch.nn.Identity()
    sys.modules["timm.models.layers.helpers"].to_2tuple = (
        lambda x: x if isinstance(x, (tuple, list)) else (x, x))
    sys.modules["timm.models.registry"].register_model = lambda f: f


def make_network(torch, sources, variant):
    family = variant.split("_")[0]
    own = {"vanillanet": ("VanillaNet", "models", "vanillanet"),
           "metaformer": ("poolformer", ".", "models"),
           "identityformer": ("metaformer", ".", "metaformer_baselines"),
           "randformer": ("metaformer", ".", "metaformer_baselines")}
    if family in own:
        repository, folder, module = own[family]
        stand_in_for_timm(torch)
        code = import_published(source_of(sources, repository) / folder,
                                module)
        return getattr(code, variant)()
    # Where timm has the network: the authors' code computes the same, but in
    # linear layers, between which ONNX Runtime transposes for convolutions.
    timm = import_published(source_of(sources, "pytorch-image-models"), "timm")
    name, size, classes = variant, None, 1000
    if name.endswith("_384"):
        name = name.removesuffix("_384")
    elif name.endswith("_in21k"):
        name, classes = name.removesuffix("_in21k"), 21841
    return timm.create_model(name, num_classes=classes)


def fill(torch, network):
    """Random weights, the same every time; nothing is zero or the identity."""
    generator = torch.Generator().manual_seed(20221)

    def between(low, high, tensor):
        tensor.uniform_(low, high, generator=generator)

    for name, tensor in network.state_dict().items():
        leaf = name.split(".")[-1]
        if not tensor.is_floating_point():
            continue
        if leaf == "random_matrix":
            between(0, 1, tensor)
            tensor /= tensor.sum(-1, keepdim=True)
        elif leaf == "running_mean" or leaf == "bias" or leaf == "pos_embed":
            between(-0.2, 0.2, tensor)
        elif "layer_scale" in name or leaf == "skipinit_gain":
            between(0.2, 0.6, tensor)
        elif tensor.dim() >= 2 and leaf != "gain":
            tensor.normal_(std=tensor[0].numel() ** -0.5, generator=generator)
        else:  # factors of norms and activations, variances, gains
            between(0.6, 1.4, tensor)


def standardise(torch, module):
    """NFNet's convolutions as plain ones, as they are once trained."""
    for name, child in module.named_children():
        standardise(torch, child)
        if not type(child).__name__.startswith("ScaledStdConv2d"):
            continue
        weight = child.weight
        flat = weight.flatten(1)
        variance = flat.var(1, unbiased=False, keepdim=True)
        flat = (flat - flat.mean(1, keepdim=True)) / (
            variance + child.eps).sqrt()
        flat = flat * (child.gain.flatten(1) * child.scale)
        before, padding = [], child.padding
        if getattr(child, "same_pad", False):
            # As TensorFlow pads an even extent: the odd pixel comes last.
            sides = []
            for kernel, stride in zip(child.kernel_size, child.stride):
                total = max(kernel - stride, 0)
                sides = [total // 2, total - total // 2] + sides
            before, padding = [torch.nn.ZeroPad2d(sides)], 0
        plain = torch.nn.Conv2d(
            child.in_channels, child.out_channels, child.kernel_size,
            child.stride, padding, child.dilation, child.groups)
        plain.weight.data = flat.reshape(weight.shape)
        plain.bias.data = child.bias
        setattr(module, name, torch.nn.Sequential(*before, plain))


def spell_out_adaptive_pools(torch, module):
    """Adaptive max pools, for which ONNX has no operator."""

    class AdaptiveMaxPool(torch.nn.Module):
        def __init__(self, output_size):
            super().__init__()
            self.output_size = output_size

        def forward(self, x):
            # Output i sees begin(i) ... end(i) - 1; all have as many terms,
            # of which the last ones are the same where a window is shorter.
            for dim, size in zip((2, 3), self.output_size):
                length = int(x.shape[dim])
                begin = [i * length // size for i in range(size)]
                end = [-(-(i + 1) * length // size) for i in range(size)]
                longest = max(e - b for b, e in zip(begin, end))
                terms = [x.index_select(dim, torch.tensor(
                    [min(b + term, e - 1) for b, e in zip(begin, end)]))
                    for term in range(longest)]
                x = terms[0]
                for term in terms[1:]:
                    x = torch.maximum(x, term)
            return x

    for name, child in module.named_children():
        spell_out_adaptive_pools(torch, child)
        if isinstance(child, torch.nn.AdaptiveMaxPool2d):
            setattr(module, name, AdaptiveMaxPool(child.output_size))


def export(options):
    try:
        import torch
    except ImportError as error:
        raise Failure(f"{error}: run this with a Python that has PyTorch "
                      "(Debian: apt install python3-torch, /usr/bin/python3)")
    torch.nn.init.trunc_normal_ = lambda weight, *_, **__: weight
    try:
        network = make_network(torch, options.sources, options.step_variant)
    except ImportError as error:
        raise Failure(f"{options.step_variant}: {error} (Debian: apt install "
                      "python3-torchvision python3-yaml)")
    network.eval()
    with torch.no_grad():
        fill(torch, network)
        torch.save(network.state_dict(), options.files.checkpoint)
        if hasattr(network, "switch_to_deploy"):
            network.switch_to_deploy()
        standardise(torch, network)
        spell_out_adaptive_pools(torch, network)
        side = options.step_size
        for batch, file in options.files.onnx.items():
            # Version 17 has a layer norm of its own; where that has no bias,
            # ONNX Runtime 1.30 ends with a segmentation fault while it
            # optimises.  From version 14 it puts the layer norm together.
            torch.onnx.export(network, torch.zeros(batch, 3, side, side), file,
                              opset_version=14, do_constant_folding=True)


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


def compare(options, variant, files, threads, batch):
    """A row of the result."""
    side = variant["input"]
    write_input(files.input, batch, side)
    rest = [files.input, batch, side, threads]
    us = Process("plainnet", [options.program, files.checkpoint,
                              variant["name"], *rest])
    them = Process("ONNX Runtime",
                   [options.node, HERE / "onnxruntime_latency.js",
                    options.package, files.onnx[batch], *rest])
    with us, them:
        difference = largest_difference(us.ask("answer")["logits"],
                                        them.ask("answer")["logits"])
        # Both round as floats do, each in its own order: the errors of the
        # layers add up to some 1e-6.
        if not difference < 1e-4:
            raise Failure(f"{variant['name']}: the answers differ by "
                          f"{difference:.1e} of the largest logit")
        ours, theirs, peaks = [], [], []
        for turn in range(options.turns):
            peaks.append(us.ask("peak"))
            ours.append(us.ask(f"run {options.seconds}"))
            theirs.append(them.ask(f"run {options.seconds}"))
    if not all(turn["rested"] for turn in theirs):
        print("ONNX Runtime's threads did not come to rest",
              file=sys.stderr)

    def median(turns):
        return statistics.median(ms for turn in turns for ms in turn["ms"])

    def best(turns):
        return min(statistics.median(turn["ms"]) for turn in turns)

    def cpu(turns):
        return statistics.median(turn["cpu_ms"] for turn in turns)

    ratios = [statistics.median(b["ms"]) / statistics.median(a["ms"])
              for a, b in zip(ours, theirs)]
    gflop = 2 * peaks[0]["macs"] / 1e9

    def share_of_peak(turns):
        """Of what the machine could do in the same turn."""
        return statistics.median(
            gflop / statistics.median(turn["ms"]) * 1e3 / peak["gflops"]
            for turn, peak in zip(turns, peaks))

    return {"model": variant["name"], "threads": threads, "batch": batch,
            "height": side, "width": side, "gmacs": gflop / 2,
            "published_top1": variant["published_top1"],
            "peer": "ONNX Runtime " + options.version,
            "isa": peaks[0]["isa"],
            "peak_gflops": statistics.median(p["gflops"] for p in peaks),
            "median_ms": median(ours), "peer_median_ms": median(theirs),
            "best_turn_ms": best(ours), "peer_best_turn_ms": best(theirs),
            "ratio": statistics.median(ratios),
            "least_ratio": min(ratios), "most_ratio": max(ratios),
            "cpu_ms": cpu(ours), "peer_cpu_ms": cpu(theirs),
            "share_of_peak": share_of_peak(ours),
            "peer_share_of_peak": share_of_peak(theirs),
            "difference": difference,
            "runs": sum(len(turn["ms"]) for turn in ours),
            "peer_runs": sum(len(turn["ms"]) for turn in theirs)}


HEAD = (f"{'model':27} {'threads':>7} {'batch':>5} {'ours, ms':>9} "
        f"{'ORT, ms':>9} {'ratio':>6} {'range':>11} {'of peak':>8} "
        f"{'ORT':>7} {'CPU':>6}")


def table_row(row):
    spread = f"{row['least_ratio']:.2f}-{row['most_ratio']:.2f}"
    return (f"{row['model']:27} {row['threads']:7} {row['batch']:5} "
            f"{row['median_ms']:9.2f} {row['peer_median_ms']:9.2f} "
            f"{row['ratio']:6.2f} {spread:>11} "
            f"{100 * row['share_of_peak']:6.1f} % "
            f"{100 * row['peer_share_of_peak']:5.1f} % "
            f"{row['peer_cpu_ms'] / row['cpu_ms']:6.2f}")


# ---- Arguments.

class Files:
    """Of one variant."""

    def __init__(self, folder, variant, batches):
        self.checkpoint = folder / f"{variant}.pth"
        self.onnx = {b: folder / f"{variant}.batch{b}.onnx" for b in batches}
        self.input = folder / f"{variant}.input"

    def are_there(self):
        return all(file.exists()
                   for file in (self.checkpoint, *self.onnx.values()))


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
        files = Files(folder, name, options.batch)
        if not files.are_there():
            print(f"{progress}, export", file=sys.stderr)
            subprocess.run(
                [sys.executable, "-W", "ignore", __file__, options.sources,
                 "--work", folder, "--batch", ",".join(map(str, options.batch)),
                 "--step-variant", name,
                 "--step-size", str(variant["input"])], check=True)
        if options.export:
            continue
        for threads in options.threads:
            for batch in options.batch:
                print(f"{progress}, {threads} threads, batch {batch}",
                      file=sys.stderr)
                row = compare(options, variant, files, threads, batch)
                if print_head:
                    print(HEAD)
                print_head = False
                print(table_row(row), flush=True)
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps(row) + "\n")
        files.input.unlink(missing_ok=True)
        if not options.work:
            for file in (files.checkpoint, *files.onnx.values()):
                file.unlink()


def numbers(text):
    return [int(number) for number in text.split(",")]


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
    parser.add_argument("--node", default="node")
    parser.add_argument("--program", type=pathlib.Path,
                        default=ROOT / "build/release/bench/latency")
    parser.add_argument("--plainnet", type=pathlib.Path,
                        default=ROOT / "build/release/tools/plainnet")
    parser.add_argument("--step-variant", help=argparse.SUPPRESS)
    parser.add_argument("--step-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args()
    try:
        if options.step_variant:
            options.files = Files(options.work, options.step_variant,
                                  options.batch)
            return export(options)
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
