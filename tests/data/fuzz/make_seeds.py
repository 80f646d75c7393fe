#!/usr/bin/env python3
"""Write the files that the fuzzers start from: tests/data/fuzz/TARGET/seeds.

A few narrow tensors of every file in tests/data/checkpoints, saved again in
every container and number format; small pictures; label files.  Each file is
of at most 4 KB, so that a fuzzer changes what matters.

    /usr/bin/python3 tests/data/fuzz/make_seeds.py

Needs torch, numpy and Pillow; written with those of Debian 12 (torch 1.13).
"""
import argparse
import collections
import io
import json
import pathlib
import shutil
import struct
import zipfile

import numpy as np
import torch
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
CHECKPOINTS = HERE.parent / "checkpoints"
DTYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    names = {name: dtype for dtype, name in DTYPES.items()}
    tensors = collections.OrderedDict()
    for key, entry in json.loads(data[8:8 + size]).items():
        if key == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(
            bytearray(data[8 + size + begin:8 + size + end]),
            dtype=names[entry["dtype"]])
        tensors[key] = flat.reshape(entry["shape"])
    return tensors


def raw_bytes(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.dtype == torch.bfloat16:
        flat = flat.view(torch.int16)
    return flat.numpy().tobytes()


def safetensors(tensors, metadata=None):
    header = {"__metadata__": metadata} if metadata else {}
    data = b""
    for key, tensor in tensors.items():
        part = raw_bytes(tensor)
        header[key] = {"dtype": DTYPES[tensor.dtype],
                       "shape": list(tensor.shape),
                       "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def narrow(tensors, count, numbers=16):
    """The first tensors of each rank, cut to `numbers` numbers each."""
    result = collections.OrderedDict()
    ranks = collections.Counter()
    for key, tensor in tensors.items():
        if not torch.is_tensor(tensor) or len(result) == count:
            continue
        ranks[tensor.dim()] += 1
        if ranks[tensor.dim()] > 2:
            continue
        flat = tensor.detach().reshape(-1)[:numbers].clone()
        if flat.numel() == numbers and tensor.dim() > 1:
            flat = flat.reshape(4, numbers // 4, *[1] * (tensor.dim() - 2))
        elif tensor.dim() == 0:
            flat = flat.reshape(())
        result[key] = flat
    return result


def narrow_checkpoint(content, count, numbers=16):
    """The same for a checkpoint that has its tensors in dictionaries."""
    if not isinstance(content, dict):
        return content
    if any(torch.is_tensor(value) for value in content.values()):
        return narrow(content, count, numbers)
    result = {}
    for key, value in content.items():
        if key == "optimizer":
            value = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3}]}
        result[key] = narrow_checkpoint(value, count, numbers)
    return result


def torch_bytes(content, legacy=False):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def pickle_of(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as entries:
        name = next(n for n in entries.namelist() if n.endswith("/data.pkl"))
        sizes = [entry.file_size for entry in entries.infolist()
                 if "/data/" in entry.filename]
        assert len(sizes) <= 8 and set(sizes) == {64}, sizes
        return entries.read(name)


def of_64_bytes(content):
    """Every storage has the 64 bytes that the target's archive gives it."""
    if torch.is_tensor(content):
        size = 64 // content.element_size()
        flat = content.detach().reshape(-1).repeat(size)[:size].clone()
        if content.dim() > 1:
            return flat.reshape(2, -1, *[1] * (content.dim() - 2))
        return flat[0] if content.dim() == 0 else flat
    if isinstance(content, dict):
        return type(content)((key, of_64_bytes(value))
                             for key, value in content.items())
    return content


def special_contents():
    """What the checkpoints do not have."""
    base = torch.arange(16, dtype=torch.float32)
    yield "views", collections.OrderedDict(
        a=base[4:8], b=base.reshape(4, 4).t(), c=base[3], d=base[:0],
        e=base[:1].expand(3, 4), f=base.reshape(2, 2, 4)[:, 1])
    numbers = collections.OrderedDict()
    for dtype in (torch.float64, torch.int64, torch.int32, torch.int16,
                  torch.int8, torch.uint8, torch.bool):
        numbers[str(dtype)] = torch.ones(64, dtype=torch.uint8).view(dtype)
    yield "numbers", numbers
    yield "parameters", {"state_dict": {
        "_orig_mod.module.w": torch.nn.Parameter(base.clone()),
        "_orig_mod.module.b": torch.nn.Parameter(base[:4].clone().repeat(4)),
    }, "epoch": 3, "best": 0.5, "names": ["a", "b"], "size": base.shape,
        "device": torch.device("cpu"), "dtype": torch.float32,
        "big": 1 << 70, "set": {1, 2}, "none": None, "numpy": np.float64(2)}


def make_torch(seeds):
    for path in sorted(CHECKPOINTS.iterdir()):
        stem = path.name.split(".")[0]
        if path.suffix == ".safetensors":
            content = read_safetensors(path)
            stem += "_safetensors"
        elif path.suffix in (".pth", ".tar"):
            content = torch.load(path, map_location="cpu")
        else:
            continue
        small = narrow_checkpoint(content, 3)
        seeds["torch_archive"][stem] = torch_bytes(small)
        seeds["torch_stream"][stem] = torch_bytes(small, legacy=True)
        # Two tensors in each dictionary: at most eight storages in all.
        tiny = of_64_bytes(narrow_checkpoint(content, 2))
        seeds["pickle"][stem] = pickle_of(torch_bytes(tiny))
        flat = narrow(next((content[key] for key in ("model_ema", "state_dict")
                            if key in content), content), 6)
        seeds["safetensors"][stem] = safetensors(flat)
    for name, content in special_contents():
        seeds["torch_archive"][name] = torch_bytes(content)
        seeds["torch_stream"][name] = torch_bytes(content, legacy=True)
        seeds["pickle"][name] = pickle_of(torch_bytes(content))
    numbers = dict(special_contents())["numbers"]
    numbers["no dimension"] = torch.tensor(1.5)
    numbers["nothing"] = torch.zeros(0, 3)
    seeds["safetensors"]["numbers"] = safetensors(
        numbers, {"format": "pt", "quoted \\\"\u00fc": "\\u"})
    seeds["safetensors"]["no_tensors"] = safetensors({})
    # Another zip writer: no data descriptors, 64-bit extra fields.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        source = zipfile.ZipFile(
            io.BytesIO(seeds["torch_archive"]["plain_state_dict"]))
        for entry in source.infolist():
            copy = zipfile.ZipInfo(entry.filename)
            with archive.open(copy, "w", force_zip64=True) as out:
                out.write(source.read(entry))
    seeds["torch_archive"]["other_writer"] = buffer.getvalue()


def make_pictures(seeds):
    column = np.arange(17)
    red, green = np.meshgrid(column * 15, np.arange(13) * 19)
    rgb = np.stack([red, green, (red * 7 + green * 3) % 256], -1)
    picture = Image.fromarray(rgb.astype(np.uint8))
    modes = {
        "rgb": picture, "grey": picture.convert("L"),
        "palette": picture.quantize(7), "bits": picture.convert("1"),
        "rgba": picture.convert("RGBA"), "grey_alpha": picture.convert("LA"),
        "grey_16": Image.fromarray((red * 257).astype(np.uint16)),
    }
    for name, mode in modes.items():
        save(seeds, mode, name + ".png")
    for name in ("rgb", "grey", "palette", "bits", "rgba"):
        save(seeds, modes[name], name + ".bmp")
    for name in ("rgb", "grey"):
        save(seeds, modes[name], name + (".ppm" if name == "rgb" else ".pgm"))
        for kind, options in {
                "baseline": {"quality": 60},
                "progressive": {"quality": 60, "progressive": True},
        }.items():
            save(seeds, modes[name], f"{name}_{kind}.jpg", **options)
    save(seeds, picture, "rgb_420.jpg", quality=20, subsampling=2)
    save(seeds, picture, "rgb_444.jpg", quality=90, subsampling=0)
    save(seeds, picture.convert("CMYK"), "cmyk.jpg", quality=30)
    # Pillow does not write these; they are drawn for another test.
    for name in ("grey_2_interlaced.png", "palette_4_interlaced.png",
                 "rgba_16_interlaced.png", "rgb_transparent.png",
                 "restart.jpg", "16_565.bmp", "os2_4.bmp", "32_masks.bmp",
                 "maximum_1000.ppm", "24_top_down.bmp"):
        source = HERE.parent / "preprocess" / "decoded" / name
        seeds["image"][name] = source.read_bytes()


def save(seeds, picture, name, **options):
    buffer = io.BytesIO()
    kind = {"jpg": "JPEG", "pgm": "PPM"}.get(name[-3:], name[-3:].upper())
    picture.save(buffer, kind, **options)
    seeds["image"][name] = buffer.getvalue()


def make_labels(seeds):
    seeds["labels"].update(
        plain=b"tench\ngoldfish\ngreat white shark, white shark\n",
        no_last_line_feed=b"zero\none",
        windows=b"zero\r\none\r\n",
        byte_order_mark=b"\xef\xbb\xbfzero\none\n",
        utf8="z\u00e9ro\n\u4e00\n\U0001f600\n \t spaces\n".encode(),
        many="".join(f"{i}\n" for i in range(20)).encode())


def main():
    argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.manual_seed(0)
    seeds = collections.defaultdict(dict)
    make_torch(seeds)
    make_pictures(seeds)
    make_labels(seeds)
    for target, files in sorted(seeds.items()):
        folder = HERE / target / "seeds"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in files.items():
            if len(content) > 4096:
                raise SystemExit(f"{target}/{name}: {len(content)} bytes")
            (folder / name).write_bytes(content)
        print(f"{target}: {len(files)} files, "
              f"{sum(map(len, files.values()))} bytes")


if __name__ == "__main__":
    main()
