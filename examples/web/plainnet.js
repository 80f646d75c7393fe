// plainnet.wasm as a class: one model, one picture at a time. For browsers and for Node.js.

/// What the library says of a file that cannot be used.
export class PlainnetError extends Error {}

/// Nothing of the system is given to the library. 52 is WASI's "no such function"; asked to end, it throws instead.
function importsOf(module) {
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = (code) => {
      if (name === 'proc_exit') throw new Error(`the library ended itself with ${code}`);
      return 52;
    };
  }
  return imports;
}

export class Plainnet {
  #wasm;

  /// `bytes`: those of plainnet.wasm.
  static async create(bytes) {
    const module = await WebAssembly.compile(bytes);
    const instance = await WebAssembly.instantiate(module, importsOf(module));
    instance.exports._initialize();
    return new Plainnet(instance.exports);
  }

  constructor(exports) {
    this.#wasm = exports;
  }

  /// The names of all variants.
  variants() {
    return this.#answer(this.#wasm.plainnet_variants());
  }

  /// A checkpoint: {variant, folded, classes, size, macs, nonFinite}. Labels go with the model before it.
  openModel(name, bytes, variant = '') {
    return this.#withTexts([name, variant], (texts) =>
      this.#wasm.plainnet_open_model(this.#copy(bytes), bytes.length, ...texts));
  }

  /// A text file with the name of a class on each line.
  setLabels(name, bytes) {
    return this.#withTexts([name], (texts) =>
      this.#wasm.plainnet_set_labels(this.#copy(bytes), bytes.length, ...texts));
  }

  /// A picture file: {width, height, pixels}, three bytes a pixel.
  decode(name, bytes) {
    const { width, height } = this.#withTexts([name], (texts) =>
      this.#wasm.plainnet_decode(this.#copy(bytes), bytes.length, ...texts));
    return { width, height, pixels: this.#bytes(this.#wasm.plainnet_pixels(), width * height * 3).slice() };
  }

  /// Pixels as a canvas has them, four bytes each, of which the last is dropped.
  setPicture(width, height, rgba) {
    this.#answer(this.#wasm.plainnet_new_picture(width, height));
    const rgb = this.#bytes(this.#wasm.plainnet_pixels(), width * height * 3);
    for (let i = 0, o = 0; o < rgb.length; i += 4, o += 3) {
      rgb[o] = rgba[i];
      rgb[o + 1] = rgba[i + 1];
      rgb[o + 2] = rgba[i + 2];
    }
  }

  /// [{index, label, probability}], the likeliest first.
  classify(top = 5) {
    return this.#answer(this.#wasm.plainnet_classify(top)).top;
  }

  /// The picture as the network sees it, `size` pixels wide and high, three bytes each.
  seenPixels(size) {
    return this.#bytes(this.#wasm.plainnet_seen_pixels(), size * size * 3).slice();
  }

  // Addresses above 2 GB come as negative numbers. The memory moves when it grows: views do not last.
  #bytes(address, count) {
    return new Uint8Array(this.#wasm.memory.buffer, address >>> 0, count);
  }

  #copy(bytes) {
    const address = this.#wasm.plainnet_allocate(bytes.length);
    if (address === 0) throw new PlainnetError('not enough memory');
    this.#bytes(address, bytes.length).set(bytes);
    return address;
  }

  /// Runs `call` with the addresses of zero-terminated copies.
  #withTexts(texts, call) {
    const addresses = texts.map((text) => this.#copy(new TextEncoder().encode(`${text}\0`)));
    try {
      return this.#answer(call(addresses));
    } finally {
      addresses.forEach((address) => this.#wasm.plainnet_free(address));
    }
  }

  #answer(address) {
    const memory = new Uint8Array(this.#wasm.memory.buffer, address >>> 0);
    const json = JSON.parse(new TextDecoder().decode(memory.subarray(0, memory.indexOf(0))));
    if (json.error !== undefined) throw new PlainnetError(json.error);
    return json;
  }
}
