// A model of texts and one text: cells of recurrent layers over the text, heads of attention layers, most likely outputs.
const texts = [data.texts, data.targets || []];
const isCharacters = data.texts.every(text => [...text].length === 1);
const shown = text => text.replace(/\n/g, '↵').replace(/\t/g, '⇥') || '∅';

function createText(tokens, label, choose) {
  const spans = tokens.map((text, i) => createHtml('button', {className: 'token', type: 'button', onclick: () => choose(i), onpointerenter: () => choose(i, true), onfocus: () => choose(i, true)}, shown(text)));
  return {spans, box: createHtml('div', {className: isCharacters ? 'text' : 'text words', role: 'group', 'aria-label': label}, ...spans.flatMap((span, i) => tokens[i].includes('\n') ? [span, createHtml('br')] : [span]))};
}

function paint(span, x) {
  const [r, g, b] = signedColour(x);
  span.style.background = `rgb(${r} ${g} ${b})`;
  span.style.color = Math.abs(x) > .55 ? '#fff' : '#1c2733';
}

// --- cells of recurrent layers

function showCells(layer, index) {
  const id = `cells${index}`, tokens = texts[layer.text], steps = tokens.length;
  let state = layer.shown, cell = layer.cells['varies most'][0][0], chosen = null;
  const size = layer.states[layer.main].shape[1];
  const states = createHtml('select', {'aria-label': 'state or gate'}, ...Object.keys(layer.states).map(name => createHtml('option', {selected: name === state}, name)));
  const number = createHtml('input', {type: 'number', min: 0, max: size - 1, value: cell, 'aria-label': 'cell'});
  const status = createHtml('p', {className: 'light status', 'aria-live': 'polite'});
  const values = () => unpack(layer.states[state]), at = t => values()[t * size + cell];
  const text = createText(tokens, `Text on the colours of a cell of ${layer.layer}`, (t, isHover) => {
    if (!isHover) { chosen = t; showSimilar(); }
    status.textContent = `${JSON.stringify(tokens[t])}, step ${t}: ${state}[${cell}] = ${decimal(at(t))}`;
  });
  const similar = createHtml('p', {className: 'light similar'});
  function draw() {
    const column = Array.from({length: steps}, (_, t) => at(t)), most = Math.max(...column.map(Math.abs)) || 1;
    text.spans.forEach((span, t) => { paint(span, column[t] / most); span.classList.toggle('chosen', t === chosen); });
    number.value = cell;
    for (const button of section.querySelectorAll('.cells button')) button.setAttribute('aria-pressed', String(Number(button.dataset.cell) === cell));
    section.dataset.cell = cell;
    scale.textContent = `red: ${decimal(most)}, blue: ${decimal(-most)}`;
  }
  function showSimilar() {
    const all = unpack(layer.states[layer.main]), row = t => all.subarray(t * size, (t + 1) * size), norm = v => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0)) || 1;
    const cosine = t => row(t).reduce((sum, x, i) => sum + x * all[chosen * size + i], 0) / norm(row(t)) / norm(row(chosen));
    const nearest = tokens.map((_, t) => [t, cosine(t)]).filter(([t]) => t !== chosen).sort((a, b) => b[1] - a[1]).slice(0, 5);
    similar.replaceChildren(`Steps with states most like those of step ${chosen} (${JSON.stringify(tokens[chosen])}): `, ...nearest.flatMap(([t, c], i) => [i ? ', ' : '', `${t} ${JSON.stringify(tokens.slice(Math.max(0, t - 8), t + 1).join(isCharacters ? '' : ' '))} (${c.toFixed(2)})`]));
    draw();
  }
  const groups = Object.entries(layer.cells).map(([name, cells]) => createHtml('div', {className: 'cells'}, createHtml('b', {}, name === 'varies most' ? 'cells that vary most' : `follow: ${name}`),
    ...cells.map(([i, r]) => createHtml('button', {type: 'button', 'data-cell': i, 'aria-pressed': 'false', onclick: () => { cell = i; draw(); }}, r === null ? String(i) : `${i} (${r.toFixed(2)})`))));
  const scale = createHtml('span', {className: 'light'});
  const section = createHtml('section', {id, 'aria-label': `Cells of ${layer.layer}`},
    createHtml('div', {className: 'bar'}, createHtml('h2', {}, `Cells of ${layer.layer}`), createHtml('label', {}, 'state ', states), createHtml('label', {}, 'cell ', number), scale),
    ...groups, createHtml('p', {className: 'light'}, 'Numbers in brackets are correlations with the mark. A click on a token lists steps with similar states.'), status, text.box, similar);
  states.addEventListener('change', () => { state = states.value; draw(); });
  number.addEventListener('input', () => { const n = Math.floor(Number(number.value)); if (n >= 0 && n < size) { cell = n; draw(); } });
  element('main').append(section);
  draw();
}

// --- attention

function showHead(layer, head, panel) {
  const [, queries, keys] = layer.weights.shape, all = unpack(layer.weights), weights = all.subarray(head * queries * keys, (head + 1) * queries * keys);
  const [left, right] = tokensOf(queries, keys), line = 22, top = 14, longest = list => Math.min(220, 12 + 8 * Math.max(...list.map(text => text.length)));
  const a = longest(left) + 10, b = a + 240, wide = b + longest(right) + 10, tall = line * Math.max(queries, keys) + 2 * top;
  const drawing = createSvg('svg', {width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}`, role: 'group', 'aria-label': `Lines from queries to keys of head ${head} of ${layer.layer}`});
  const y = i => top + line * i;
  let chosen = null;
  const lines = createSvg('g'), labels = [];
  const status = createHtml('p', {className: 'light status', 'aria-live': 'polite'});
  function draw() {
    lines.replaceChildren();
    for (let q = 0; q < queries; q++) {
      if (chosen && (chosen[0] === 'query' && chosen[1] !== q)) continue;
      for (let k = 0; k < keys; k++) {
        const weight = weights[q * keys + k];
        if (weight < .02 || (chosen && chosen[0] === 'key' && chosen[1] !== k)) continue;
        lines.append(createSvg('line', {x1: a, y1: y(q) - 4, x2: b, y2: y(k) - 4, 'stroke-opacity': Math.min(1, weight)}));
      }
    }
    for (const {node, kind, i} of labels) node.classList.toggle('chosen', Boolean(chosen) && chosen[0] === kind && chosen[1] === i);
    if (!chosen) { status.textContent = 'Point at a token to see its weights only.'; return; }
    const [kind, i] = chosen, pairs = Array.from({length: kind === 'query' ? keys : queries}, (_, j) => [j, kind === 'query' ? weights[i * keys + j] : weights[j * keys + i]]);
    const best = pairs.sort((p, q) => q[1] - p[1]).slice(0, 3).map(([j, w]) => `${JSON.stringify((kind === 'query' ? right : left)[j])} ${w.toFixed(2)}`);
    status.textContent = `${kind === 'query' ? 'query' : 'key'} ${JSON.stringify((kind === 'query' ? left : right)[i])}: ${best.join(', ')}`;
  }
  drawing.append(lines);
  for (const [kind, list, x, anchor] of [['query', left, a - 6, 'end'], ['key', right, b + 6, 'start']]) list.forEach((text, i) => {
    const node = createSvg('text', {x, y: y(i), 'text-anchor': anchor, tabindex: 0, role: 'button', 'aria-label': `${kind} ${i}: ${text}`}, text.length > 26 ? `${text.slice(0, 25)}…` : shown(text).trim() || '␣');
    const choose = () => { chosen = [kind, i]; draw(); };
    node.addEventListener('pointerenter', choose);
    node.addEventListener('focus', choose);
    node.addEventListener('click', choose);
    labels.push({node, kind, i});
    drawing.append(node);
  });
  drawing.addEventListener('pointerleave', () => { chosen = null; draw(); });
  const average = Array.from({length: queries}, (_, q) => -weights.subarray(q * keys, (q + 1) * keys).reduce((sum, w) => sum + (w > 0 ? w * Math.log2(w) : 0), 0)).reduce((x, z) => x + z, 0) / queries;
  panel.replaceChildren(createHtml('h3', {}, `${layer.layer}, head ${head}`), createHtml('p', {className: 'light'}, `Queries are on the left, keys on the right. Mean entropy of the weights: ${decimal(average)} of ${decimal(Math.log2(keys))} bits.`), status, createHtml('div', {className: 'lines'}, drawing));
  panel.dataset.head = head;
  panel.dataset.layer = layer.layer;
  draw();
}

// Returns the texts of the queries and of the keys of a layer, by their numbers.
function tokensOf(queries, keys) {
  const named = (n, order) => order.find(list => list.length === n) || Array.from({length: n}, (_, i) => String(i));
  const [source, target] = texts;
  if (queries === keys) return target.length === queries && source.length !== queries ? [target, target] : [named(queries, [source]), named(keys, [source])];
  return [named(queries, [target, source]), named(keys, [source, target])];
}

function showAttention() {
  const panel = createHtml('div', {id: 'head'}), buttons = [];
  const rows = data.attention.map(layer => {
    const [heads, queries, keys] = layer.weights.shape, all = unpack(layer.weights);
    const cells = Array.from({length: heads}, (_, head) => {
      const canvas = createHtml('canvas', {className: 'pixels', 'aria-hidden': 'true'}), part = all.subarray(head * queries * keys, (head + 1) * queries * keys), most = Math.max(...rowMaxima(part, keys)) || 1;
      drawNumbers(canvas, part, queries, keys, value => weightColour(value / most));
      const button = createHtml('button', {className: 'head', type: 'button', 'aria-pressed': 'false', 'aria-label': `${layer.layer}, head ${head}`, onclick: () => {
        for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
        showHead(layer, head, panel);
      }}, canvas);
      buttons.push(button);
      return createHtml('td', {}, button);
    });
    return createHtml('tr', {}, createHtml('th', {scope: 'row'}, layer.layer), ...cells);
  });
  element('main').append(createHtml('section', {id: 'attention', 'aria-label': 'Attention'}, createHtml('h2', {}, 'Attention'),
    createHtml('p', {className: 'light'}, 'Each layer is a row and each head a column. In a head, queries are rows and keys are columns; dark is its largest weight. A click shows the head between the tokens.'),
    createHtml('div', {className: 'heads'}, createHtml('table', {}, createHtml('tbody', {}, ...rows))), panel));
  buttons[0].click();
}

function rowMaxima(values, keys) {
  return Array.from({length: values.length / keys}, (_, q) => values.subarray(q * keys, (q + 1) * keys).reduce((x, y) => Math.max(x, y), 0));
}

// --- most likely outputs

function showOutputs() {
  const {each_step: eachStep, steps} = data.outputs, tokens = texts[1].length === steps.length ? texts[1] : texts[0];
  const rows = steps.map((best, t) => createHtml('tr', {}, ...(eachStep ? [createHtml('td', {}, t < tokens.length ? shown(tokens[t]) : String(t))] : []), ...best.map(({name, value}) => createHtml('td', {}, `${shown(name)} `, createHtml('small', {}, decimal(value))))));
  element('main').append(createHtml('section', {id: 'outputs', 'aria-label': 'Outputs'}, createHtml('details', {open: !eachStep}, createHtml('summary', {}, eachStep ? 'Most likely outputs after each token' : 'Most likely outputs'), createHtml('div', {className: 'heads'}, createHtml('table', {}, createHtml('tbody', {}, ...rows))))));
}

showHeader();
data.recurrent.forEach(showCells);
if (data.attention.length) showAttention();
if (data.outputs) showOutputs();
document.body.dataset.ready = 'yes';
