#!/usr/bin/env python3
"""Train the digits model: a narrow VanillaNet on small handwritten digits.

The network and the way it is trained follow "VanillaNet: the Power of
Minimalism in Deep Learning" (arXiv 2305.12972):

* deep training: each 1x1 convolution is trained as a pair of convolutions
  with a leaky ReLU between them.  Its slope goes from 0 (a ReLU) to 1 (the
  identity) during training; at 1 a pair is linear and merges into one.
* series activation: ReLU, then a depthwise (2n+1)x(2n+1) convolution, then
  batch normalisation, so that an activation sees its neighbourhood.

The data are the 8x8 digits bundled with scikit-learn (no download).  The
last 20 % of them, in their own order, are held out as the test part.

    python3 tools/train_digits.py              # train, test, write the files
    python3 tools/train_digits.py --ablation   # with and without the two ideas
    python3 tools/train_digits.py --validate   # leave the test part alone

Progress goes to stderr, results (Markdown) to stdout.  On one core of a
server, training takes about 20 minutes and the ablation about 15.
Needs torch, numpy, Pillow and scikit-learn (which brings scipy).
"""
import argparse
import copy
import json
import math
import pathlib
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from scipy import ndimage
from sklearn.datasets import load_digits
from torch import nn

WIDTHS, STRIDES, SERIES = (64, 128, 256, 256), (2, 2, 1), 3
SIZE, CELL, MARGIN = 64, 6, 2       # input; pixels per data cell; cells around
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# --- the network -------------------------------------------------------------

class SeriesActivation(nn.Module):
    """ReLU, depthwise convolution over the neighbourhood, normalisation."""

    def __init__(self, channels, n):
        super().__init__()
        self.n = n
        side = 2 * n + 1
        self.weight = nn.Parameter(torch.empty(channels, 1, side, side))
        self.bn = nn.BatchNorm2d(channels, eps=1e-6)
        nn.init.trunc_normal_(self.weight, std=0.02)
        with torch.no_grad():   # start near a plain ReLU
            self.weight[:, :, n, n] += 0.1

    def forward(self, x):
        return self.bn(F.conv2d(F.relu(x), self.weight, padding=self.n,
                                groups=self.weight.shape[0]))


def conv_bn(inputs, outputs, kernel=1):
    conv = nn.Conv2d(inputs, outputs, kernel, stride=kernel)
    nn.init.trunc_normal_(conv.weight, std=0.02)
    nn.init.zeros_(conv.bias)
    return [conv, nn.BatchNorm2d(outputs, eps=1e-6)]


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, n, deep):
        super().__init__()
        self.conv1 = nn.Sequential(*conv_bn(inputs, inputs)) if deep else None
        self.conv2 = nn.Sequential(*conv_bn(inputs, outputs))
        self.stride = stride
        self.act = SeriesActivation(outputs, n)

    def forward(self, x, slope):
        if self.conv1 is not None:
            x = F.leaky_relu(self.conv1(x), slope)
        x = self.conv2(x)
        return self.act(F.max_pool2d(x, self.stride) if self.stride > 1 else x)


class VanillaNet(nn.Module):
    """The trained form.  Without `deep`, one convolution for each pair."""

    def __init__(self, n=SERIES, deep=True, classes=10):
        super().__init__()
        self.slope = 0.0 if deep else 1.0
        first = WIDTHS[0]
        self.stem1 = nn.Sequential(*conv_bn(3, first, 4))
        self.stem2 = nn.Sequential(*(conv_bn(first, first) if deep else []),
                                   SeriesActivation(first, n))
        self.stages = nn.ModuleList(
            Block(a, b, stride, n, deep)
            for a, b, stride in zip(WIDTHS, WIDTHS[1:], STRIDES))
        self.cls1 = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Identity(),
                                  *conv_bn(WIDTHS[-1], classes))
        self.cls2 = nn.Sequential()
        if deep:    # the second half of the pair starts as the identity
            self.cls2.append(conv_bn(classes, classes)[0])
            nn.init.dirac_(self.cls2[0].weight)

    def forward(self, x):
        x = self.stem2(F.leaky_relu(self.stem1(x), self.slope))
        for stage in self.stages:
            x = stage(x, self.slope)
        return self.cls2(F.leaky_relu(self.cls1(x), self.slope)).flatten(1)


# --- folding: what inference runs --------------------------------------------

def fold(model):
    """Merges a trained form (slope 1) in float64 into (weight, bias) pairs:
    convolution and activation of the stem and of each block; and the head."""
    state = {k: v.double() for k, v in model.state_dict().items()}

    def conv(name, norm=None):
        weight, bias = state[name + ".weight"], state.get(name + ".bias", 0)
        if norm:
            deviation = (state[norm + ".running_var"] + 1e-6).sqrt()
            scale = state[norm + ".weight"] / deviation
            weight = weight * scale.view(-1, 1, 1, 1)
            bias = (bias - state[norm + ".running_mean"]) * scale
            bias = bias + state[norm + ".bias"]
        return weight, bias

    def pair(name1, norm1, name2, norm2=None):
        first, second = conv(name1, norm1), conv(name2, norm2)
        matrix = second[0].flatten(1)   # 1x1: a matrix on the channels
        return (torch.einsum("oi,ichw->ochw", matrix, first[0]),
                matrix @ first[1] + second[1])

    layers = [(pair("stem1.0", "stem1.1", "stem2.0", "stem2.1"),
               conv("stem2.2", "stem2.2.bn"))]
    for i in range(len(STRIDES)):
        at = f"stages.{i}."
        layers.append((pair(at + "conv1.0", at + "conv1.1",
                            at + "conv2.0", at + "conv2.1"),
                       conv(at + "act", at + "act.bn")))
    return layers, pair("cls1.2", "cls1.3", "cls2.0")


def run_folded(folded, x):
    layers, head = folded
    for (conv, act), stride in zip(layers, (4,) + STRIDES):
        if conv[0].shape[-1] > 1:
            x = F.conv2d(x, *conv, stride=stride)
        else:
            x = F.conv2d(x, *conv)
            x = F.max_pool2d(x, stride) if stride > 1 else x
        x = F.conv2d(F.relu(x), *act, padding=act[0].shape[-1] // 2,
                     groups=act[0].shape[0])
    return F.conv2d(x.mean((2, 3), keepdim=True), *head).flatten(1)


# --- data and augmentation ---------------------------------------------------

def as_picture(digit):
    """An 8x8 digit (values 0..16) as an RGB picture, bright on black."""
    grey = np.floor(digit * (255 / 16) + 0.5).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def preprocess(pictures, dtype=torch.float32):
    """What the deployed pipeline does to square pictures."""
    pixels = np.stack([np.asarray(p.resize((SIZE, SIZE), Image.BICUBIC))
                       for p in pictures])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(dtype) / 255
    return (x - torch.tensor(MEAN, dtype=dtype).view(3, 1, 1)) / \
        torch.tensor(STD, dtype=dtype).view(3, 1, 1)


def thin(mask):
    """Zhang-Suen thinning of a stack of masks (count, height, width)."""
    mask = mask.copy()
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            p = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
            h, w = mask.shape[1:]
            around = ((-1, 0), (-1, 1), (0, 1), (1, 1),     # clockwise from
                      (1, 0), (1, -1), (0, -1), (-1, -1))   # the one above
            ring = [p[:, 1 + dy:1 + dy + h, 1 + dx:1 + dx + w]
                    for dy, dx in around]
            up, right, down, left = ring[::2]
            count = sum(r.astype(np.int8) for r in ring)
            rises = sum((~a & b).astype(np.int8)
                        for a, b in zip(ring, ring[1:] + ring[:1]))
            if step == 0:
                kept = right & down & (up | left)
            else:
                kept = up & left & (right | down)
            drop = mask & (count >= 2) & (count <= 6) & (rises == 1) & ~kept
            mask &= ~drop
            changed |= bool(drop.any())
    return mask


class Augmenter:
    """Draws training pictures: digits re-inked, moved, lit and coloured.

    It keeps three smooth enlargements of each digit, and the distance to its
    skeleton (at two thresholds), which gives a stroke of any width."""

    def __init__(self, digits, plain_share=0.25):
        self.plain = preprocess([as_picture(d) for d in digits])
        self.plain_share = plain_share
        ink = np.pad(digits / 16, ((0, 0), (MARGIN,) * 2, (MARGIN,) * 2))
        size = ink.shape[1] * CELL
        t = torch.from_numpy(ink).float()[:, None]
        smooth = [F.interpolate(t, (size, size), mode=mode,
                                align_corners=False)
                  for mode in ("bicubic", "bilinear")]
        smooth.append(torch.from_numpy(ndimage.gaussian_filter(
            smooth[0].numpy(), (0, 0, CELL * 0.5, CELL * 0.5))) * 1.15)
        self.smooth = torch.cat(smooth, 1)
        away = [[ndimage.distance_transform_edt(~skeleton)
                 for skeleton in thin(smooth[0][:, 0].numpy() > level)]
                for level in (0.4, 0.55)]
        self.away = torch.from_numpy(np.array(away)).float().transpose(0, 1)

    def __call__(self, index):
        count = len(index)

        def uniform(low, high, *shape):
            shape = shape or (1, 1, 1)
            return torch.rand(count, *shape) * (high - low) + low

        def chance(p):
            return torch.rand(count, 1, 1, 1) < p

        def field(cells, channels=1):
            """A smooth random field, roughly between -1 and 1."""
            values = torch.rand(count, channels, cells, cells) * 2 - 1
            return F.interpolate(values, (SIZE, SIZE), mode="bicubic",
                                 align_corners=True)

        # Where: the digit fills 40..105 % of the height, anywhere it fits.
        height = uniform(0.4, 1.05, 1)
        aspect = torch.exp(uniform(-0.45, 0.2, 1))
        angle = torch.randn(count, 1) * 0.15
        shear = torch.randn(count, 1) * 0.2
        room = (1.04 - height).clamp(min=0.06)
        sx, sy = uniform(-1, 1, 1) * room, uniform(-1, 1, 1) * room
        zoom = 8 / (8 + 2 * MARGIN) / height    # frame units to stored units
        cos, sin = torch.cos(angle), torch.sin(angle)
        a, b = zoom * cos / aspect, zoom * (sin + shear) / aspect
        c, d = -zoom * sin, zoom * cos
        theta = torch.cat([a, b, -a * sx - b * sy,
                           c, d, -c * sx - d * sy], 1)
        grid = F.affine_grid(theta.view(-1, 2, 3), (count, 1, SIZE, SIZE),
                             align_corners=False)
        grid = grid + (field(4, 2) * uniform(0, 0.09)).permute(0, 2, 3, 1)

        # Ink: the grey strokes of the data, the same made crisp, or a pen.
        which = torch.randint(0, 3, (count,))
        base = self.smooth[index, which]
        pick = torch.randint(0, 2, (count,))
        away = self.away[index, pick]
        stored = torch.stack([base, away], 1)
        sampled = F.grid_sample(stored, grid, padding_mode="border",
                                align_corners=False)
        grey = sampled[:, :1].clamp(0, 1)
        scale = (SIZE / (stored.shape[-1] * zoom)).view(-1, 1, 1, 1)
        distance = sampled[:, 1:] * scale
        level, sharpness = uniform(0.25, 0.6), torch.exp(uniform(1.5, 3.5))
        crisp = torch.sigmoid((grey - level) * sharpness)
        size = height.view(-1, 1, 1, 1) * SIZE
        width = torch.exp(uniform(math.log(0.02), math.log(0.2))) * size
        width = width.clamp(min=0.7) * (1 + 0.3 * field(4) * chance(0.5))
        edge = torch.exp(uniform(math.log(0.5), math.log(1.5)))
        pen = ((width / 2 - distance) / edge + 0.5).clamp(0, 1)
        style = uniform(0, 1)
        ink = torch.where(style < 0.2, grey,
                          torch.where(style < 0.4, crisp, pen))
        ink = ink * (1 - 0.3 * field(8).clamp(0, 1) * chance(0.3))

        # Colour: mostly near grey; dark on light or light on dark.
        polarity = torch.where(chance(0.5), 1.0, -1.0)
        contrast = uniform(0.25, 1) ** 0.6
        middle = uniform(0, 1) * (1 - contrast) + contrast / 2
        tint = torch.where(chance(0.4), 0.0, 1.0) * 0.12
        half = polarity * contrast / 2
        stroke = middle + half + tint * torch.randn(count, 3, 1, 1)
        paper = middle - half + tint * torch.randn(count, 3, 1, 1)
        line = torch.linspace(-1, 1, SIZE)
        slope = (uniform(-1, 1) * line + uniform(-1, 1) * line.view(-1, 1)) / 2
        light = (slope + field(3)) * uniform(0, 0.22) * contrast * chance(0.6)
        x = paper + (stroke - paper) * ink.clamp(0, 1)
        x = x * (1 + light) + light * 0.5

        # Camera: blur and noise.
        soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = x + (soft - x) * uniform(0, 1) * chance(0.4)
        x = x + torch.randn_like(x) * uniform(0, 0.06) * chance(0.5)
        x = (x.clamp(0, 1) - torch.tensor(MEAN).view(3, 1, 1)) / \
            torch.tensor(STD).view(3, 1, 1)
        return torch.where(chance(self.plain_share), self.plain[index], x)


# --- pictures of the kind a user draws ---------------------------------------

def bow(cx, cy, rx, ry, start, end):
    """Points on an ellipse; angles in degrees, clockwise from the right."""
    t = np.radians(np.linspace(start, end, 24))
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], 1)


# Strokes in a unit square, y downwards; one or two ways to write each digit.
STROKES = {
    0: [[bow(.5, .5, .32, .48, -90, 270)], [bow(.5, .5, .24, .48, -60, 300)]],
    1: [[[(.5, 0), (.5, 1)]], [[(.3, .22), (.55, 0), (.55, 1)]]],
    2: [[bow(.5, .27, .3, .25, -170, 40),
         [(.73, .43), (.2, .97), (.82, .97)]]],
    3: [[bow(.45, .26, .3, .25, -150, 90), bow(.45, .74, .34, .25, -90, 150)],
        [[(.2, .03), (.75, .03), (.45, .42)],
         bow(.44, .7, .34, .28, -90, 150)]],
    4: [[[(.62, 1), (.62, 0), (.15, .68), (.88, .68)]],
        [[(.25, .05), (.2, .55), (.8, .55)], [(.68, .2), (.62, 1)]]],
    5: [[[(.78, .03), (.27, .03), (.23, .44)],
         bow(.45, .68, .32, .3, -120, 140)]],
    6: [[bow(.75, .6, .52, .58, 250, 165), bow(.5, .72, .27, .26, 0, 360)]],
    7: [[[(.18, .03), (.8, .03), (.4, 1)]],
        [[(.18, .03), (.8, .03), (.4, 1)], [(.35, .5), (.75, .5)]]],
    8: [[bow(.5, .26, .24, .24, 0, 360), bow(.5, .74, .3, .25, 0, 360)]],
    9: [[bow(.5, .28, .27, .26, 0, 360), [(.77, .28), (.68, 1)]],
        [bow(.5, .28, .27, .26, 0, 360), bow(.3, .5, .47, .48, -25, 80)]],
}


def draw_user_digits(count, seed, side=300):
    """Pictures as from a drawing program, none of them made from the data."""
    rng = np.random.default_rng(seed)
    pictures, labels, kinds = [], [], []
    for i in range(count):
        label = i % 10
        strokes = STROKES[label][rng.integers(len(STROKES[label]))]
        thick, dark = bool(i // 10 % 2), bool(i // 20 % 2)
        tall = rng.uniform(0.45, 0.85) * side
        wide = tall * rng.uniform(0.6, 0.95)
        pen = int(round(tall * (rng.uniform(0.1, 0.17) if thick else
                                rng.uniform(0.02, 0.05))))
        turn, lean = rng.normal(0, 0.08), rng.normal(0, 0.12)
        matrix = np.array([[math.cos(turn), -math.sin(turn) - lean],
                           [math.sin(turn), math.cos(turn)]])
        room = (side - tall) / 2 - pen / 2
        centre = side / 2 + rng.uniform(-1, 1, 2) * max(room, 0)
        ground, ink = (255, 0) if dark else (0, 255)
        picture = Image.new("L", (side, side), ground)
        draw = ImageDraw.Draw(picture)
        for stroke in strokes:
            points = (np.asarray(stroke, float) - 0.5) * (wide, tall)
            points = points + rng.normal(0, 0.006 * tall, points.shape)
            points = points @ matrix.T + centre
            draw.line([tuple(p) for p in points], fill=ink, width=pen)
            for x, y in points:
                r = pen / 2
                draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)
        pictures.append(picture.convert("RGB"))
        labels.append(label)
        kinds.append(("thick" if thick else "thin",
                      "dark on light" if dark else "light on dark"))
    return pictures, np.array(labels), kinds


# --- training ----------------------------------------------------------------

def predict(model, x):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part) for part in x.split(128)])


def accuracy(logits, labels):
    return 100 * float(np.mean(logits.argmax(1).numpy() == labels))


def train(augment, labels, epochs, seed, n=SERIES, deep=True, report=None,
          batch=64, peak=4e-3, ramp=0.6):
    """The slope reaches 1 after `ramp` of the epochs and stays there; what
    is returned is a running average of the weights."""
    torch.manual_seed(seed)
    model = VanillaNet(n, deep).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    target = torch.from_numpy(labels)
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1],
               "weight_decay": 0.05},
              {"params": [p for p in model.parameters() if p.ndim == 1],
               "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak)
    steps = len(labels) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=epochs * steps, pct_start=0.1,
        div_factor=20, final_div_factor=50)
    begin, seen = time.time(), 0
    for epoch in range(epochs):
        slope = min(1.0, epoch / round(ramp * epochs))
        if deep:
            model.slope = average.slope = slope
        model.train()
        total = 0.0
        for index in torch.randperm(len(labels))[:steps * batch].split(batch):
            x = augment(index).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), target[index],
                                   label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += float(loss)
            seen += 1
            decay = min(0.998, seen / (seen + 10))
            with torch.no_grad():
                for kept, new in zip(average.state_dict().values(),
                                     model.state_dict().values()):
                    if kept.is_floating_point():
                        kept.lerp_(new, 1 - decay)
        if (epoch + 1) % 10 == 0 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1}/{epochs}  slope {slope:.2f}  "
                  f"loss {total / steps:.3f}  {time.time() - begin:.0f} s  "
                  + (report(average) if report else ""),
                  file=sys.stderr, flush=True)
    return average


# --- files -------------------------------------------------------------------

def write_safetensors(path, tensors, metadata=None):
    """8-byte length, JSON header padded to a multiple of 8, raw data."""
    names = {"float32": "F32", "uint8": "U8", "int64": "I64"}
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    # Wider types first, then by name: aligned, and without holes.
    for name in sorted(tensors, key=lambda n: (-tensors[n].itemsize, n)):
        value = tensors[name]
        raw = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
        header[name] = {"dtype": names[value.dtype.name],
                        "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + raw.nbytes]}
        data += raw.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_outputs(model, digits, labels, logits, start, output, held_out):
    state = {k: v.numpy() for k, v in model.state_dict().items()
             if v.is_floating_point()}      # leaves out the BN step counters
    write_safetensors(output / "digits.safetensors", state, {
        "plainnet.model": "vanillanet_digits", "activation_slope": "1",
        "format": "pt"})
    (output / "labels.txt").write_text("".join(f"{i}\n" for i in range(10)))
    for label in range(10):     # the first two of each, recognised or not
        folder = output / "pictures" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        for i in np.flatnonzero(labels == label)[:2]:
            grey = as_picture(digits[i]).convert("L")
            grey.resize((192, 192), Image.BICUBIC).save(
                folder / f"{start + i:04}.png", optimize=True)
    write_safetensors(held_out, {
        "pixels": digits.astype(np.uint8), "labels": labels.astype(np.uint8),
        "logits": logits.float().numpy()})


# --- the command line --------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, help="default 160; ablation 20")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2,
                        help="runs to average per row of the ablation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path,
                        default="models/digits")
    parser.add_argument("--held-out", type=pathlib.Path,
                        default="tests/data/digits/held_out.safetensors")
    parser.add_argument("--ablation", action="store_true",
                        help="print the ablation table; write no files")
    parser.add_argument("--validate", action="store_true",
                        help="train on 80 %% of the training part, score the "
                        "rest of it; write no files (for choosing settings)")
    args = parser.parse_args()
    if args.epochs is not None and args.epochs < 2:
        parser.error("--epochs must be at least 2: the slope goes from 0 to 1")
    torch.set_num_threads(args.threads)

    data = load_digits()
    end = len(data.target)
    split = int(0.8 * end)
    if args.validate:
        split, end = int(0.8 * split), split
    augment, labels = Augmenter(data.images[:split]), data.target[:split]
    kept, truth = data.images[split:end], data.target[split:end]
    kept_x = preprocess([as_picture(d) for d in kept])
    drawn, drawn_truth, drawn_kinds = draw_user_digits(
        800, seed=11 if args.validate else 2024)
    drawn_x = preprocess(drawn)

    def scores(model):
        return (accuracy(predict(model, kept_x), truth),
                accuracy(predict(model, drawn_x), drawn_truth))

    def report(model):
        return "held out {:.2f} %  drawn {:.2f} %".format(*scores(model))

    if args.ablation:
        print("| deep training | series activation | held out | drawn |")
        print("|---|---|---|---|")
        for deep in (False, True):
            for n in (0, SERIES):
                runs = [train(augment, labels, args.epochs or 20,
                              args.seed + i, n, deep)
                        for i in range(args.seeds)]
                mean = np.mean([scores(model) for model in runs], 0)
                print("| {} | {} | {:.2f} % | {:.2f} % |".format(
                    "yes" if deep else "no", f"yes (n = {n})" if n else "no",
                    *mean), flush=True)
        return

    # The test part is looked at once, after training.
    model = train(augment, labels, args.epochs or 160, args.seed,
                  report=report if args.validate else None)
    x = preprocess([as_picture(d) for d in kept], torch.float64)
    before = predict(copy.deepcopy(model).double(), x)
    after = run_folded(fold(model), x)
    print(f"held-out digits: {len(truth)}, trained on {len(labels)}")
    print(f"accuracy before folding: {accuracy(before, truth):.2f} %")
    print(f"accuracy after folding:  {accuracy(after, truth):.2f} %")
    print(f"largest difference of a logit: {(before - after).abs().max():.1e}")
    if accuracy(before, truth) != accuracy(after, truth):
        sys.exit("folding changed the accuracy")
    right = predict(model, drawn_x).argmax(1).numpy() == drawn_truth
    print(f"drawn digits: {100 * right.mean():.2f} % of {len(right)}")
    for kind in sorted(set(drawn_kinds)):
        chosen = [k == kind for k in drawn_kinds]
        print(f"  {', '.join(kind)}: {100 * right[chosen].mean():.2f} %")
    if not args.validate:
        write_outputs(model, kept, truth, before, split, args.output,
                      args.held_out)


if __name__ == "__main__":
    main()
