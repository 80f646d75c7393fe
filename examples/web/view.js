// Writes answers, facts and messages into the page. Text from files goes in as text, never as HTML.

import { toCanvas } from './pad.js';

const $ = (id) => document.getElementById(id);

export const nameOf = ({ label, index }) => label || `class ${index}`;
export const percent = (probability) =>
  Number.isFinite(probability) ? `${(100 * probability).toFixed(1)} %` : 'not a number';

function bar(prediction, isFirst) {
  const row = document.createElement('li');
  row.classList.toggle('first', isFirst);
  const part = (name, text) => {
    const element = document.createElement('span');
    element.className = name;
    element.textContent = text;
    return element;
  };
  const track = part('track', '');
  const fill = document.createElement('div');
  fill.className = 'fill';
  fill.style.setProperty('--part', prediction.probability || 0);
  track.append(fill);
  row.append(part('name', nameOf(prediction)), track, part('value', percent(prediction.probability)));
  row.querySelector('.name').title = nameOf(prediction);
  return row;
}

/// Rows that are there stay, so that their bars move.
function setBars(predictions, first) {
  const list = $('bars');
  predictions.forEach((prediction, i) => {
    const fresh = bar(prediction, prediction === first);
    const row = list.children[i];
    if (!row) return list.append(fresh);
    row.className = fresh.className;
    for (const name of ['.name', '.value']) row.querySelector(name).textContent = fresh.querySelector(name).textContent;
    row.querySelector('.name').title = nameOf(prediction);
    row.querySelector('.fill').style.setProperty('--part', prediction.probability || 0);
  });
  while (list.children.length > predictions.length) list.lastChild.remove();
  const longest = Math.max(...predictions.map((prediction) => nameOf(prediction).length));
  list.style.setProperty('--name-width', `${Math.min(longest, 18) * 0.6 + 0.5}em`);
}

/// Few classes stand in their own order, of many the likeliest.
export function showAnswer({ classes, ms, seen }, inOrder) {
  const best = classes[0];
  const label = $('best-label');
  label.textContent = nameOf(best);
  label.classList.toggle('long', nameOf(best).length > 3);
  $('best-probability').textContent = percent(best.probability);
  setBars(inOrder ? [...classes].sort((a, b) => a.index - b.index) : classes, best);
  $('time').textContent = `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
  toCanvas(seen, $('seen'));
}

export function showNoAnswer(predictions) {
  $('best-label').textContent = '–';
  $('best-label').classList.remove('long');
  $('best-probability').textContent = '';
  $('time').textContent = '';
  const seen = $('seen');
  seen.getContext('2d').clearRect(0, 0, seen.width, seen.height);
  if (predictions.length > 0) setBars(predictions, null);
}

/// For those who do not see the page.
export function announce(text) {
  $('announcement').textContent = text;
}

export function showModel(name, { variant, folded, classes, size, macs, ms, nonFinite }, labels) {
  const facts = {
    File: name,
    Variant: `${variant}, ${folded ? 'folded' : 'as trained, folded now'}`,
    Input: `${size} × ${size}, ${(macs / 1e6).toFixed(macs < 1e8 ? 1 : 0)} million multiply-adds`,
    Classes: `${classes}${labels ? `, named by ${labels}` : ', without names'}`,
    'Made ready in': `${Math.round(ms)} ms`,
  };
  $('facts').replaceChildren(...Object.entries(facts).flatMap(([term, text]) => {
    const dt = document.createElement('dt');
    const dd = document.createElement('dd');
    dt.textContent = term;
    dd.textContent = text;
    return [dt, dd];
  }));
  const warning = $('warning');
  warning.hidden = nonFinite.length === 0;
  warning.textContent = `NaN or infinity in ${nonFinite.slice(0, 5).join(', ')}${nonFinite.length > 5 ? ' and more' : ''}`;
}

export function showProblem(text) {
  $('problem-box').hidden = text === '';
  $('problem').textContent = text;
}

export function fillVariants(names) {
  $('variant').append(...names.map((name) => new Option(name, name)));
}
