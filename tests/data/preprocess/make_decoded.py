#!/usr/bin/env python3
"""Writes decoded/: small pictures in many variants of PNG, BMP, PNM and JPEG, and decoded.json with the pixels that
Pillow 9.4 finds in them (convert('RGB')). Where this library differs on purpose, the script says so. Needs Pillow and
numpy; run it in the folder in which it lies.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 7, 5
random = np.random.RandomState(20240607)
folder = pathlib.Path("decoded")
cases = []


def random_bytes(count):
    return random.randint(0, 256, count).astype(np.uint8).tobytes()


def add(name, contents, pixels=None):
    if pixels is None:
        pixels = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    (folder / name).write_bytes(contents)
    cases.append({"file": name, "width": pixels.shape[1], "height": pixels.shape[0], "rgb": pixels.tobytes().hex()})


def save(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind, contents):
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def png(bits, color, rows, palette=None, transparency=None, interlaced=0):
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color, 0, 0, interlaced)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    file += chunk(b"PLTE", palette) if palette else b""
    file += chunk(b"tRNS", transparency) if transparency else b""
    return file + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_rows(bits, channels, width=WIDTH, height=HEIGHT):
    """Random samples, no filters."""
    return b"".join(b"\0" + random_bytes((width * bits * channels + 7) // 8) for _ in range(height))


def interlaced_rows(bits, channels):
    passes = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    rows = b""
    for x, y, step_x, step_y in passes:
        width, height = -((x - WIDTH) // step_x), -((y - HEIGHT) // step_y)
        if width > 0 and height > 0:
            rows += png_rows(bits, channels, width, height)
    return rows


kinds = {0: ("grey", 1, (1, 2, 4, 8)), 2: ("rgb", 3, (8, 16)), 3: ("palette", 1, (1, 2, 4, 8)),
         4: ("grey_alpha", 2, (8, 16)), 6: ("rgba", 4, (8, 16))}
for color, (name, channels, depths) in kinds.items():
    for bits in depths:
        palette = random_bytes(3 << bits) if color == 3 else None
        add(f"{name}_{bits}.png", png(bits, color, png_rows(bits, channels), palette))
        add(f"{name}_{bits}_interlaced.png", png(bits, color, interlaced_rows(bits, channels), palette, interlaced=1))

# On purpose the high byte, as for colours; Pillow 9.4 clips samples of 16-bit grey to 255.
rows = png_rows(16, 1)
samples = np.frombuffer(rows, np.uint8).reshape(HEIGHT, 1 + 2 * WIDTH)[:, 1::2]
add("grey_16.png", png(16, 0, rows), np.repeat(samples[:, :, None], 3, axis=2))

indices = b"".join(b"\0" + bytes(range(7 * y, 7 * y + 7)) for y in range(HEIGHT))
add("palette_transparent.png", png(8, 3, indices, random_bytes(3 * 35), random_bytes(20)))
add("palette_too_short.png", png(8, 3, indices, random_bytes(3 * 20)))
add("grey_transparent.png", png(8, 0, indices, transparency=b"\0\7"))
add("rgb_transparent.png", png(8, 2, png_rows(8, 3), transparency=bytes(6)))
photo = Image.open("landscape.png").convert("RGB")
add("filters.png", save(photo.crop((100, 100, 140, 120)), "PNG"))  # from an encoder that uses all filters


def bmp(bits, header_size, height=HEIGHT, palette=b"", masks=b"", colors=0, gap=0):
    data = random_bytes((WIDTH * bits + 31) // 32 * 4 * abs(height))
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", header_size, WIDTH, height, 1, bits, 3 if masks else 0, len(data), 2835,
                             2835, colors, 0)
        header += masks
        header += bytes(max(header_size - len(header), 0))
    offset = 14 + len(header) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + bytes(gap) + data


for bits in (1, 4, 8):
    add(f"os2_{bits}.bmp", bmp(bits, 12, palette=random_bytes(3 << bits)))
    add(f"palette_{bits}.bmp", bmp(bits, 40, palette=random_bytes(4 << bits)))
add("palette_too_short.bmp", bmp(8, 40, palette=random_bytes(4 * 20), colors=20))
add("os2_24.bmp", bmp(24, 12))
add("24.bmp", bmp(24, 40, gap=6))
add("24_top_down.bmp", bmp(24, 124, height=-HEIGHT))
add("16.bmp", bmp(16, 40))
add("16_565.bmp", bmp(16, 40, masks=struct.pack("<III", 0xF800, 0x07E0, 0x001F)))
add("32.bmp", bmp(32, 40))
add("32_masks.bmp", bmp(32, 40, masks=struct.pack("<III", 0xFF000000, 0x00FF0000, 0x0000FF00)))
add("32_alpha.bmp", bmp(32, 108, masks=struct.pack("<IIII", 0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)))

for kind, channels in ("5", 1), ("6", 3):
    for maximum in (255, 6, 100, 1000, 65535):
        values = random.randint(0, maximum + 1, (HEIGHT, WIDTH, channels))
        file = f"P{kind}\n# a comment\n{WIDTH} {HEIGHT}#another\n {maximum}\n".encode()
        file += values.astype(">u2" if maximum > 255 else np.uint8).tobytes()
        pixels = None
        if channels == 1 and maximum > 255:  # on purpose as for colours; Pillow 9.4 clips to 255
            pixels = np.repeat(np.rint(values / maximum * 255).astype(np.uint8), 3, axis=2)
        add(f"maximum_{maximum}.p{'g' if channels == 1 else 'p'}m", file, pixels)

part = photo.crop((60, 60, 97, 89))
add("420.jpg", save(part, "JPEG", quality=85, subsampling=2))
add("444_progressive.jpg", save(part, "JPEG", quality=85, subsampling=0, progressive=True))
add("restart.jpg", save(part, "JPEG", quality=85, restart_marker_blocks=2))
add("grey.jpg", save(part.convert("L"), "JPEG", quality=85))
add("cmyk.jpg", save(part.convert("CMYK"), "JPEG", quality=85))

lines = ",\n".join(json.dumps(case) for case in cases)
pathlib.Path("decoded.json").write_text(f"[\n{lines}\n]\n")
