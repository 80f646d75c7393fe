#!/usr/bin/env python3
"""Time the loading and folding of a .pth checkpoint, beside PyTorch.

    /usr/bin/python3 bench/peers/load_vanillanet.py VANILLANET_FOLDER

VANILLANET_FOLDER is a copy of the published code, which is not part of
plainnet: https://github.com/huawei-noah/VanillaNet, the folder that holds
models/vanillanet.py.  It needs two helpers of timm, for which stand-ins
are used.

Writes the trained form of a variant with random weights, as torch.save
does.  Then, taking turns, each time in a new process:

  PyTorch   torch.load, load_state_dict, switch_to_deploy of the published
            code; the making of the model is not counted
  plainnet  open_model, load_folded (build/release/bench/load_and_fold)

PyTorch folds with the system's BLAS where it is Debian's: have
libopenblas0 installed, for with the reference BLAS it takes minutes.

Before that, plainnet's folded weights are compared with those that the
published code makes in double precision.  The file is in the system's page
cache for both.  The time of the processors is printed too: where other
programs run, it says more.  Exits with 1 if the weights differ, if plainnet is not
faster, or if it takes more memory than twice the file.
"""
import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import types


def published_code(folder):
    """The module models/vanillanet.py of the published code."""
    for name in ("timm", "timm.models", "timm.models.layers",
                 "timm.models.registry"):
        sys.modules[name] = types.ModuleType(name)
    layers = sys.modules["timm.models.layers"]
    # Takes a minute for these networks, and every weight is replaced.
    layers.weight_init = types.SimpleNamespace(
        trunc_normal_=lambda weight, std: weight)
    layers.DropPath = None
    sys.modules["timm.models.registry"].register_model = lambda f: f
    sys.path.insert(0, str(folder / "models"))
    import vanillanet
    return vanillanet


def make(options):
    """Writes the trained form, and the folded form in double precision."""
    import torch
    torch.manual_seed(1)
    model = getattr(published_code(options.folder), options.variant)()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for numbers in (module.weight, module.running_var):
                torch.nn.init.uniform_(numbers, 0.5, 1.5)
            for numbers in (module.bias, module.running_mean):
                torch.nn.init.normal_(numbers, std=0.1)
    torch.save(model.state_dict(), options.file)
    with torch.no_grad():
        model.double().switch_to_deploy()
    torch.save(model.state_dict(), options.folded)


def read_safetensors(path):
    import torch
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.float32,
                                offset=begin, count=(end - begin) // 4)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def compare(options):
    """Largest difference of a tensor, over its rounding error."""
    import torch
    expected = torch.load(options.folded)
    found = read_safetensors(options.folded + ".safetensors")
    if set(found) != set(expected):
        raise SystemExit(f"other names: {set(found) ^ set(expected)}")
    worst = 0.0
    for name, tensor in expected.items():
        # Both fold in double precision; plainnet rounds to float at the end.
        tolerance = torch.finfo(torch.float32).eps * tensor.abs().max()
        difference = (found[name].double() - tensor).abs().max()
        worst = max(worst, float(difference / tolerance))
    print(json.dumps({"worst": worst}))


def run_pytorch(options):
    import torch
    torch.set_num_threads(options.threads)
    model = getattr(published_code(options.folder), options.variant)()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    model.load_state_dict(torch.load(options.file))
    loaded = time.perf_counter()
    with torch.no_grad():
        model.switch_to_deploy()
    end, end_cpu = time.perf_counter(), time.process_time()
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status
                    if line.startswith("VmHWM:"))
    print(json.dumps({"open_ms": 1e3 * (loaded - begin),
                      "total_ms": 1e3 * (end - begin),
                      "cpu_ms": 1e3 * (end_cpu - begin_cpu),
                      "peak_kb": peak}))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--variant", default="vanillanet_13")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--program", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2]
                        / "build/release/bench/load_and_fold")
    parser.add_argument("--step", choices=("make", "compare", "pytorch"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("--folded", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        {"make": make, "compare": compare,
         "pytorch": run_pytorch}[options.step](options)
        return

    with tempfile.TemporaryDirectory() as work:
        file, folded = f"{work}/trained.pth", f"{work}/folded.pth"
        own = [sys.executable, __file__, str(options.folder), "--variant",
               options.variant, "--threads", str(options.threads),
               "--file", file, "--folded", folded, "--step"]
        plainnet = [str(options.program), file, str(options.threads)]

        threads = os.environ | dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))

        def result_of(command):
            text = subprocess.run(command, check=True, text=True, env=threads,
                                  stdout=subprocess.PIPE).stdout
            return json.loads(text.splitlines()[-1])

        subprocess.run(own + ["make"], check=True)
        size = os.path.getsize(file)
        result_of(plainnet + [folded + ".safetensors"])
        worst = result_of(own + ["compare"])["worst"]
        print(f"{options.variant}, a file of {size / 1e6:.1f} MB, "
              f"{options.threads} threads, medians of {options.runs}; "
              f"largest difference {worst:.2f} eps")
        commands = {"PyTorch": own + ["pytorch"], "plainnet": plainnet}
        results = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, command in commands.items():
                results[name].append(result_of(command))

    medians, peaks = {}, {}
    print(f"{'':10} {'read, ms':>10} {'all, ms':>10} {'range':>15} "
          f"{'CPU, ms':>10} {'peak, MB':>9} {'of file':>8}")
    for name, rows in results.items():
        all_ms = sorted(row["total_ms"] for row in rows)
        medians[name] = statistics.median(all_ms)
        peaks[name] = max(row["peak_kb"] for row in rows) * 1024
        read = statistics.median(row["open_ms"] for row in rows)
        cpu = statistics.median(row["cpu_ms"] for row in rows)
        spread = f"{all_ms[0]:.0f} to {all_ms[-1]:.0f}"
        print(f"{name:10} {read:10.1f} {medians[name]:10.1f} {spread:>15} "
              f"{cpu:10.1f} {peaks[name] / 1e6:9.1f} {peaks[name] / size:8.2f}")
    ratio = medians["PyTorch"] / medians["plainnet"]
    print(f"plainnet is {ratio:.2f} times as fast")
    if worst > 1 or ratio <= 1 or peaks["plainnet"] > 2 * size:
        sys.exit(1)


if __name__ == "__main__":
    main()
