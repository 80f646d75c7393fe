#!/usr/bin/env python3
"""Draw published accuracy against measured latency, ours and the peers'.

    python3 tools/plot_latency.py RESULTS.jsonl OUT.svg

RESULTS.jsonl is what bench/peers/latency.py --json writes; where it holds a
model and a peer twice, the later line counts.  --threads and --batch choose
the rows, 1 and 1 without them.  Above, each family is a line of full dots, and
a dashed one of rings for the first peer, a dotted one of squares for a second;
below, each model's share of what the machine can do at most.  Needs Python
alone.
"""
import argparse
import html
import json
import math
import pathlib
import sys

WIDTH = 960
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 64, 50
UPPER = 470  # height of the plot of accuracy
ROW = 15     # height of a model's share of peak
NAMES = 210  # width of the models' names
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00",
           "#5b3f99", "#e69f00", "#7f7f7f", "#a01c2c", "#3f7f00", "#003f5f",
           "#222222", "#ff5fa2")


def family_of(row):
    """Models that share a line: of one size of input, where it is a choice."""
    name = row["model"]
    family = "dm_nfnet" if name.startswith("dm_nfnet") else name.split("_")[0]
    return family + " 384" if name.endswith("_384") else family


class Model:
    """What was measured of one, in rows that differ in the peer."""

    def __init__(self):
        self.rows = {}  # by the peer's name, without its version

    def add(self, row):
        words = row["peer"].split()
        name = " ".join(word for word in words if not word[0].isdigit())
        self.rows.pop(name, None)
        self.rows[name] = row

    def __getitem__(self, key):
        return next(iter(self.rows.values()))[key]

    def peer(self, name, key):
        """None where it was not measured."""
        return self.rows[name]["peer_" + key] if name in self.rows else None


PEER_STYLES = (("ring", "4 3"), ("square", "1 3"))  # marks, dashes


class Axis:
    """Numbers to pixels."""

    def __init__(self, low, high, begin, end, logarithmic=False):
        self.scale = math.log if logarithmic else float
        self.low, self.high = self.scale(low), self.scale(high)
        self.begin, self.end = begin, end

    def __call__(self, value):
        part = (self.scale(value) - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)


class Drawing:
    def __init__(self):
        self.parts = []

    def line(self, points, colour, width=1.0, dashes=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}"'
            + (f' stroke-dasharray="{dashes}"' if dashes else "") + "/>")

    def mark(self, x, y, colour, shape, about):
        style = f'stroke="{colour}" stroke-width="1.4"'
        title = f"<title>{html.escape(about)}</title>"
        if shape == "square":
            self.parts.append(
                f'<rect x="{x - 2.8:.1f}" y="{y - 2.8:.1f}" width="5.6" '
                f'height="5.6" fill="white" {style}>{title}</rect>')
        else:
            fill = colour if shape == "dot" else "white"
            self.parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{fill}" '
                f"{style}>{title}</circle>")

    def text(self, x, y, text, anchor="start", colour="#333", size=12):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'fill="{colour}" font-size="{size}">{html.escape(text)}</text>')

    def svg(self, height):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
                f'height="{height}" viewBox="0 0 {WIDTH} {height}" '
                'font-family="sans-serif">\n'
                f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
                + "\n".join(self.parts) + "\n</svg>\n")


def round_numbers(low, high):
    """1, 2 and 5 times powers of ten between them."""
    return [factor * 10.0 ** power for power in range(-3, 7)
            for factor in (1, 2, 5) if low <= factor * 10.0 ** power <= high]


def spread_labels(places, distance):
    """The same places, in their order, no two closer than that."""
    order = sorted(range(len(places)), key=places.__getitem__)
    spread = list(places)
    for before, after in zip(order, order[1:]):
        spread[after] = max(spread[after], spread[before] + distance)
    return spread


def draw_accuracy(drawing, families, peers, colours):
    families = {name: [model for model in family if model["published_top1"]]
                for name, family in families.items()}
    families = {name: family for name, family in families.items() if family}
    models = [model for family in families.values() for model in family]
    times = [model["median_ms"] for model in models]
    times += [ms for model in models for peer in peers
              if (ms := model.peer(peer, "median_ms"))]
    accuracies = [model["published_top1"] for model in models]
    low, high = min(times) / 1.1, max(times) * 1.1
    x = Axis(low, high, LEFT, WIDTH - RIGHT, logarithmic=True)
    least, most = math.floor(min(accuracies)), math.ceil(max(accuracies) + 0.1)
    y = Axis(least, most, UPPER - BOTTOM, TOP)
    for time in round_numbers(low, high):
        drawing.line([(x(time), TOP), (x(time), UPPER - BOTTOM)], "#ddd")
        drawing.text(x(time), UPPER - BOTTOM + 18, f"{time:g}", "middle")
    for accuracy in range(least, most + 1, 2 if most - least > 8 else 1):
        drawing.line([(LEFT, y(accuracy)), (WIDTH - RIGHT, y(accuracy))],
                     "#ddd")
        drawing.text(LEFT - 8, y(accuracy) + 4, f"{accuracy}", "end")
    drawing.text((LEFT + WIDTH - RIGHT) / 2, UPPER - BOTTOM + 38,
                 "latency, ms", "middle")
    drawing.text(LEFT, TOP - 10, "published top-1, %")

    ends = []

    def draw_family(family, colour, time_of, shape, dashes):
        points = []
        for model in family:
            time = time_of(model)
            if time is not None:
                points.append((x(time), y(model["published_top1"])))
                drawing.mark(*points[-1], colour, shape,
                             f"{model['model']}: {time:.1f} ms")
        if points:
            drawing.line(points, colour, 1.0 if dashes else 1.8, dashes)
        return points

    for name, family in families.items():
        family = sorted(family, key=lambda model: model["gmacs"])
        for peer, (shape, dashes) in zip(peers, PEER_STYLES):
            draw_family(family, colours[name],
                        lambda model: model.peer(peer, "median_ms"), shape,
                        dashes)
        ends.append(draw_family(family, colours[name],
                                lambda model: model["median_ms"], "dot",
                                "")[-1])
    labels = spread_labels([end[1] for end in ends], 15)
    for name, end, label in zip(families, ends, labels):
        drawing.line([(end[0] + 5, end[1]), (WIDTH - RIGHT + 8, label)],
                     colours[name], 0.5)
        drawing.text(WIDTH - RIGHT + 12, label + 4, name,
                     colour=colours[name])


def draw_shares(drawing, families, peers, colours):
    """Returns where it ends."""
    models = [(name, model) for name, family in families.items()
              for model in family]
    top = UPPER + 50
    end = top + ROW * len(models)
    largest = max(model["share_of_peak"] for _, model in models)
    x = Axis(0, max(100, 100 * largest + 2), NAMES, WIDTH - 40)
    drawing.text(NAMES, top - 22, "share of the machine's peak, %")
    for share in range(0, max(100, math.floor(100 * largest)) + 1, 20):
        drawing.line([(x(share), top), (x(share), end)], "#ddd")
        drawing.text(x(share), top - 6, f"{share}", "middle", size=11)
    for i, (name, model) in enumerate(models):
        y = top + ROW * (i + 0.5)
        drawing.text(NAMES - 8, y + 4, model["model"], "end", size=11)
        shares = [("dot", "plainnet", model["share_of_peak"])]
        shares += [(shape, peer, share)
                   for peer, (shape, _) in zip(peers, PEER_STYLES)
                   if (share := model.peer(peer, "share_of_peak"))]
        places = [x(100 * share) for _, _, share in shares]
        drawing.line([(min(places), y), (max(places), y)], colours[name])
        for (shape, who, share), place in zip(shares, places):
            drawing.mark(place, y, colours[name], shape,
                         f"{model['model']}, {who}: {100 * share:.1f} %")
    return end


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()

    models = {}
    for line in options.results.read_text().splitlines():
        row = json.loads(line)
        if (row["threads"], row["batch"]) == (options.threads, options.batch):
            models.setdefault(row["model"], Model()).add(row)
    if not models:
        sys.exit(f"{options.results}: holds nothing of {options.threads} "
                 f"threads and batch {options.batch}")
    peers, families = {}, {}  # peers by name, with their version
    for model in models.values():
        families.setdefault(family_of(model), []).append(model)
        for name, row in model.rows.items():
            peers[name] = row["peer"]
    colours = {name: COLOURS[i % len(COLOURS)]
               for i, name in enumerate(families)}

    drawing = Drawing()
    about = next(iter(models.values()))
    marks = ", ".join(f"{peer} ({shape}s)" for peer, (shape, _)
                      in zip(peers.values(), PEER_STYLES))
    drawing.text(LEFT, 22, f"plainnet (dots), {marks}", size=16)
    threads = f"{options.threads} thread" + "s" * (options.threads > 1)
    drawing.text(LEFT, 40, f"{threads}, batch {options.batch}, float32, "
                 f"{about['isa']}, {about['peak_gflops']:.0f} "
                 "GFLOP/s at most", colour="#666")
    draw_accuracy(drawing, families, peers, colours)
    end = draw_shares(drawing, families, peers, colours)
    options.out.write_text(drawing.svg(end + 20))


if __name__ == "__main__":
    main()
