#!/usr/bin/env python3
"""Make networks with the published code and export them, for latency.py.

    /usr/bin/python3 bench/peers/published.py SOURCES FOLDER VARIANT SIZE BATCHES [--pytorch]

Writes VARIANT.pth, a checkpoint with random weights with which nothing is the
identity, and for each batch an ONNX file of the form that is best for the
peers, at one size; --pytorch adds the same as TorchScript.  latency.py says
what SOURCES is, and calls this in a process of its own for each variant, since
the authors' codes and timm need modules of the same names.
"""
import argparse
import pathlib
import sys
import types


class Failure(Exception):
    pass


class Files:
    """Of one variant."""

    def __init__(self, folder, variant, batches, with_pytorch):
        self.checkpoint = folder / f"{variant}.pth"
        self.input = folder / f"{variant}.input"
        self.onnx = {b: folder / f"{variant}.batch{b}.onnx" for b in batches}
        self.torchscript = {b: folder / f"{variant}.batch{b}.pt"
                            for b in batches if with_pytorch}

    def exported(self):
        return [self.checkpoint, *self.onnx.values(),
                *self.torchscript.values()]

    def are_there(self):
        return all(file.exists() for file in self.exported())


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


def export(sources, variant, side, files):
    try:
        import torch
    except ImportError as error:
        raise Failure(f"{error}: run this with a Python that has PyTorch "
                      "(Debian: apt install python3-torch, /usr/bin/python3)")
    torch.nn.init.trunc_normal_ = lambda weight, *_, **__: weight
    try:
        network = make_network(torch, sources, variant)
    except ImportError as error:
        raise Failure(f"{variant}: {error} (Debian: apt install "
                      "python3-torchvision python3-yaml)")
    network.eval()
    with torch.no_grad():
        fill(torch, network)
        torch.save(network.state_dict(), files.checkpoint)
        if hasattr(network, "switch_to_deploy"):
            network.switch_to_deploy()
        standardise(torch, network)
        for batch, file in files.torchscript.items():
            torch.jit.trace(network, torch.zeros(batch, 3, side, side),
                            check_trace=False).save(file)
        spell_out_adaptive_pools(torch, network)
        for batch, file in files.onnx.items():
            # Version 17 has a layer norm of its own; where that has no bias,
            # ONNX Runtime 1.30 ends with a segmentation fault while it
            # optimises.  From version 14 it puts the layer norm together.
            torch.onnx.export(network, torch.zeros(batch, 3, side, side), file,
                              opset_version=14, do_constant_folding=True)


def numbers(text):
    """Of an argument like 1,8."""
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("variant")
    parser.add_argument("size", type=int)
    parser.add_argument("batches", type=numbers)
    parser.add_argument("--pytorch", action="store_true")
    options = parser.parse_args()
    files = Files(options.folder, options.variant, options.batches,
                  options.pytorch)
    try:
        export(options.sources, options.variant, options.size, files)
    except (Failure, OSError) as error:
        sys.exit(f"{pathlib.Path(__file__).name}: {error}")


if __name__ == "__main__":
    main()
