// plainnet as WebAssembly against the native program, on the digits model and the shipped pictures.
//
//   node wasm_test.mjs PLAINNET_WASM PROGRAM MODELS_DIGITS
//
// Every class and its place must be the same. Probabilities may differ by rounding: the longest sums of the digits model
// have 256 terms, whose errors add up to about √256 times the epsilon of a float; logits stay below 8, and a probability
// moves by at most half of what a logit moves by.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { Plainnet, PlainnetError } from '../../examples/web/plainnet.js';

const [wasm, program, digits] = process.argv.slice(2).map((argument) => path.resolve(argument));
const epsilon = 2 ** -23;
const tolerance = (Math.sqrt(256) * epsilon * 8) / 2;

const pictureFolder = path.join(digits, 'pictures');
const pictures = fs.readdirSync(pictureFolder).sort().flatMap((label) =>
  fs.readdirSync(path.join(pictureFolder, label)).sort().map((name) => path.join(pictureFolder, label, name)));
const weights = fs.readFileSync(path.join(digits, 'digits.safetensors'));
const labels = fs.readFileSync(path.join(digits, 'labels.txt'));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'plainnet_wasm_'));

const plainnet = await Plainnet.create(fs.readFileSync(wasm));

function native(...options) {
  const lines = execFileSync(program, ['classify', '--json', '--top', '10', ...options], { encoding: 'utf8' });
  return lines.trimEnd().split('\n').map((line) => JSON.parse(line));
}

/// Returns the largest difference.
function compareProbabilities(found, expected, what) {
  assert.deepEqual(found.map((one) => one.index), expected.map((one) => one.index), what);
  assert.deepEqual(found.map((one) => one.label), expected.map((one) => one.label), what);
  const differences = found.map((one, i) => Math.abs(one.probability - expected[i].probability));
  const largest = Math.max(...differences);
  assert.ok(largest <= tolerance, `${what}: a probability differs by ${largest}, more than ${tolerance}`);
  return largest;
}

function classifyAll(expected) {
  let largest = 0;
  for (const { file, top } of expected) {
    plainnet.decode(path.basename(file), fs.readFileSync(file));
    largest = Math.max(largest, compareProbabilities(plainnet.classify(10), top, file));
  }
  console.log(`  ${expected.length} pictures, largest difference of a probability ${largest.toExponential(1)}, ` +
    `at most ${tolerance.toExponential(1)}`);
}

/// The library's own sentence, as the program prints it.
function refusal(command, name, bytes) {
  const file = path.join(scratch, name);
  fs.writeFileSync(file, bytes);
  const { status, stderr } = spawnSync(program, command(name), { cwd: scratch, encoding: 'utf8' });
  assert.equal(status, 1, name);
  return stderr.trimEnd().replace(/^plainnet: /, '');
}

function expectRefusal(work, message) {
  assert.throws(work, (error) => error instanceof PlainnetError && error.message.replaceAll('\n  ', '; ') === message,
    message);
}

const tests = {
  'says that there is no model yet'() {
    assert.throws(() => plainnet.classify(), /no model is loaded/);
  },

  'classifies the shipped pictures as the native program does'() {
    const model = plainnet.openModel('digits.safetensors', weights);
    assert.deepEqual({ ...model, macs: 0 },
      { variant: 'vanillanet_digits', folded: false, classes: 10, size: 64, macs: 0, nonFinite: [] });
    plainnet.setLabels('labels.txt', labels);
    assert.equal(pictures.length, 20);
    classifyAll(native(...pictures));
  },

  'takes the folded model as well'() {
    const folded = path.join(scratch, 'folded.safetensors');
    execFileSync(program, ['fold', path.join(digits, 'digits.safetensors'), folded]);
    assert.equal(plainnet.openModel('folded.safetensors', fs.readFileSync(folded)).folded, true);
    classifyAll(native('--weights', folded, ...pictures));
  },

  'sees drawn pixels as those of a file'() {
    const { width, height, pixels } = plainnet.decode('7.png', fs.readFileSync(pictures[15]));
    const expected = plainnet.classify(10);
    const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
    pixels.forEach((value, i) => { rgba[Math.floor(i / 3) * 4 + (i % 3)] = value; });
    plainnet.setPicture(width, height, rgba);
    assert.deepEqual(plainnet.classify(10), expected);
  },

  'refuses with the words of the native program'() {
    const asWeights = (name) => ['classify', '--weights', name, pictures[0]];
    const asPicture = (name) => ['classify', name];
    const hostile = {
      'garbage.safetensors': Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919) % 251),
      'empty.safetensors': new Uint8Array(0),
      'cut.safetensors': weights.subarray(0, 100000),
      'page.safetensors': new TextEncoder().encode('<!DOCTYPE html>'),
      'pickle.pth': Uint8Array.from([0x80, 2, 0x63, 0x6f, 0x73, 10]),
      'misshapen.safetensors': Buffer.from(weights.toString('latin1').replace(/\[64, ?3, ?4, ?4\]/, (text) => text.replace('64', '32').replace('4,', '8,')), 'latin1'),
      'unknown.safetensors': Buffer.from('\x36\0\0\0\0\0\0\0{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}\0\0\0\0',
        'latin1'),
    };
    for (const [name, bytes] of Object.entries(hostile)) {
      expectRefusal(() => plainnet.openModel(name, bytes), refusal(asWeights, name, bytes));
    }
    for (const [name, bytes] of Object.entries({
      'empty.png': new Uint8Array(0),
      'text.png': new TextEncoder().encode('hello'),
      'cut.png': fs.readFileSync(pictures[0]).subarray(0, 300),
    })) {
      expectRefusal(() => plainnet.decode(name, bytes), refusal(asPicture, name, bytes));
    }
    // 2^31 + 1 pixels wide, which a 32-bit index does not hold: the message says the most that it does.
    const wide = Buffer.from('89504e470d0a1a0a0000000d4948445280000001000000010802000000301d76c9' +
      '0000000049454e44ae426082', 'hex');
    expectRefusal(() => plainnet.decode('wide.png', wide),
      refusal(asPicture, 'wide.png', wide).replace('2147483649', '2147483647'));
    const wrong = new TextEncoder().encode('one\ntwo\n');
    expectRefusal(() => plainnet.setLabels('two.txt', wrong),
      refusal((name) => ['classify', '--labels', name, pictures[0]], 'two.txt', wrong));
  },

  // More than a 32-bit index holds. Weights of zero, so every class is as likely as the others.
  'runs a network of billions of multiply-adds'() {
    const golden = JSON.parse(fs.readFileSync(new URL('../data/golden/vanillanet_5.json', import.meta.url)));
    let end = 0;
    const tensors = golden.tensors.map(([tensor, shape]) => {
      const begin = end;
      end += 2 * shape.reduce((product, extent) => product * extent, 1);
      return [tensor, { dtype: 'F16', shape, data_offsets: [begin, end] }];
    });
    const header = Buffer.from(JSON.stringify(Object.fromEntries(tensors)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const { variant, macs } = plainnet.openModel('zeros', Buffer.concat([length, header, Buffer.alloc(end)]));
    assert.equal(variant, 'vanillanet_5');
    assert.ok(macs > 5e9, `${macs} multiply-adds`);
    plainnet.decode('7.png', fs.readFileSync(pictures[15]));
    assert.ok(Math.abs(plainnet.classify(1)[0].probability - 0.001) < epsilon);
  },

  'keeps the model when the next one is refused'() {
    plainnet.openModel('digits.safetensors', weights);
    plainnet.decode('7.png', fs.readFileSync(pictures[15]));
    const before = plainnet.classify(10);
    assert.throws(() => plainnet.openModel('x.safetensors', new Uint8Array(20)), PlainnetError);
    assert.deepEqual(plainnet.classify(10), before);
  },
};

let failures = 0;
for (const [name, test] of Object.entries(tests)) {
  console.log(name);
  try {
    test();
  } catch (error) {
    ++failures;
    console.log(`  FAILED: ${error.message}`);
  }
}
fs.rmSync(scratch, { recursive: true });
process.exitCode = failures === 0 ? 0 : 1;
