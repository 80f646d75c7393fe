// Runs plainnet beside the page, so that a large model does not stop it. Answers {id, call, arguments} with {id, result}
// or {id, error}.

import { Plainnet, PlainnetError } from './plainnet.js';

async function fetchBytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server says ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

const ready = fetchBytes('plainnet.wasm').then((bytes) => Plainnet.create(bytes));
let size = 0;

const calls = {
  variants: (plainnet) => plainnet.variants(),

  openModel(plainnet, name, bytes, variant) {
    const start = performance.now();
    const model = plainnet.openModel(name, bytes, variant);
    size = model.size;
    return { ...model, ms: performance.now() - start };
  },

  setLabels: (plainnet, name, bytes) => plainnet.setLabels(name, bytes),

  decode: (plainnet, name, bytes) => plainnet.decode(name, bytes),

  setPicture: (plainnet, width, height, rgba) => plainnet.setPicture(width, height, rgba),

  /// `ms` is from pixels to classes.
  classify(plainnet, top) {
    const start = performance.now();
    const classes = plainnet.classify(top);
    const ms = performance.now() - start;
    return { classes, ms, seen: { width: size, height: size, pixels: plainnet.seenPixels(size) } };
  },
};

self.onmessage = async ({ data: { id, call, arguments: given } }) => {
  try {
    self.postMessage({ id, result: calls[call](await ready, ...given) });
  } catch (error) {
    const text = error instanceof PlainnetError ? error.message : `${error.message} (please load this page anew)`;
    self.postMessage({ id, error: text });
  }
};
