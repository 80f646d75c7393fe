// The page: what is drawn, opened or dropped goes to the worker, its answers go to the view.

import { ask, askWith } from './client.js';
import { Pad } from './pad.js';
import * as view from './view.js';

const $ = (id) => document.getElementById(id);
const fewClasses = 12; // that many are all shown

const samples = ['0/1445', '1/1457', '2/1437', '3/1438', '4/1439', '5/1440', '6/1441', '7/1442', '8/1443', '9/1444'];

let model = null;
let hasPicture = false;
let isRunning = false;
let isAsked = null; // {source, announce}: what to classify when the run that is under way ends

const pad = new Pad($('pad'), {
  changed: () => classify({ source: pad }),
  finished: () => classify({ source: pad, announce: true }),
});

/// Shows what goes wrong in `work` and goes on.
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    view.showProblem(error.message);
  }
}

/// Classifies the board, or without a source the picture that was decoded. While a run is under way, only the latest
/// wish is kept: drawing never waits.
async function classify(wish) {
  $('hint').hidden = true;
  hasPicture = true;
  isAsked = { ...wish, announce: wish.announce || isAsked?.announce };
  if (isRunning || model === null) return;
  isRunning = true;
  await attempt(async () => {
    while (isAsked !== null) {
      const { source, announce } = isAsked;
      isAsked = null;
      if (source) {
        const { width, height, data } = source.pixels();
        await askWith([data.buffer], 'setPicture', width, height, data);
      }
      const answer = await ask('classify', model.classes <= fewClasses ? model.classes : 5);
      if (!hasPicture) break; // cleared meanwhile
      view.showAnswer(answer, model.classes <= fewClasses);
      const best = answer.classes[0];
      if (announce) view.announce(`${view.nameOf(best)}, ${view.percent(best.probability)}`);
    }
  });
  isRunning = false;
}

function clear() {
  pad.clear();
  isAsked = null;
  hasPicture = false;
  $('hint').hidden = false;
  const count = model !== null && model.classes <= fewClasses ? model.classes : 0;
  view.showNoAnswer(Array.from({ length: count }, (_, index) => ({ index, label: model.names[index], probability: 0 })));
}

async function openModel(name, bytes, variant) {
  view.announce('');
  const opened = await askWith([bytes.buffer], 'openModel', name, bytes, variant);
  model = { ...opened, name, names: [] };
  view.showModel(name, model, '');
  view.announce(`${opened.variant} is ready`);
}

async function setLabels(name, bytes) {
  const names = new TextDecoder().decode(bytes).replace(/\r/g, '').split('\n');
  await askWith([bytes.buffer], 'setLabels', name, bytes);
  model.names = names;
  view.showModel(model.name, model, name);
}

async function openPicture(name, bytes) {
  const picture = await askWith([bytes.buffer], 'decode', name, bytes);
  pad.show(picture);
  await classify({ announce: true });
}

/// What a file is for, by its name; a file of no known name may be a model, and if not, the library says so.
function roleOf({ name, type }) {
  if (/\.txt$/i.test(name)) return 'labels';
  if (/\.(png|jpe?g|bmp|p[gpn]m)$/i.test(name) || type.startsWith('image/')) return 'picture';
  return 'model';
}

/// A model first, then its labels, then pictures. What was there is classified again by a new model.
async function openFiles(files) {
  view.showProblem('');
  await attempt(async () => {
    const order = ['model', 'labels', 'picture'];
    const sorted = [...files].sort((a, b) => order.indexOf(roleOf(a)) - order.indexOf(roleOf(b)));
    for (const file of sorted) {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const role = roleOf(file);
      if (role === 'model') await openModel(file.name, bytes, $('variant').value);
      if (role === 'labels') await setLabels(file.name, bytes);
      if (role === 'picture') await openPicture(file.name, bytes);
    }
    if (hasPicture) await classify({});
    else clear();
  });
}

async function fetchFile(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server says ${response.status}`);
  return new File([await response.blob()], address.split('/').pop());
}

const openDigits = async () =>
  openFiles(await Promise.all(['digits/digits.safetensors', 'digits/labels.txt'].map(fetchFile)));

function addSamples() {
  for (const sample of samples) {
    const address = `digits/pictures/${sample}.png`;
    const button = document.createElement('button');
    const image = document.createElement('img');
    button.type = 'button';
    image.src = address;
    image.alt = `A handwritten ${sample[0]}`;
    button.append(image);
    button.addEventListener('click', () => attempt(async () => openFiles([await fetchFile(address)])));
    $('samples').append(button);
  }
}

function acceptDrops() {
  let depth = 0; // dragenter of an inner element comes before dragleave of the outer one
  const show = (change) => {
    depth = Math.max(0, depth + change);
    $('drop').hidden = depth === 0;
  };
  addEventListener('dragenter', () => show(1));
  addEventListener('dragleave', () => show(-1));
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    show(-depth);
    openFiles(event.dataTransfer.files);
  });
}

$('clear').addEventListener('click', clear);
$('dismiss').addEventListener('click', () => view.showProblem(''));
$('reset').addEventListener('click', () => attempt(async () => {
  $('variant').value = '';
  await openDigits();
}));
$('files').addEventListener('change', async (event) => {
  await openFiles(event.target.files);
  event.target.value = ''; // the same file may be chosen again
});
addSamples();
acceptDrops();
attempt(async () => {
  view.fillVariants(await ask('variants'));
  await openDigits();
});
