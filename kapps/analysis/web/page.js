'use strict';
// What the profile has: rows (one a call of a layer), links between them, blocks (folded) and levels of rows.
const data = JSON.parse(document.getElementById('data').textContent);
const at = id => document.getElementById(id);
const whole = n => n.toLocaleString('en-US');
const short = n => {
  const [unit, sign] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']].find(([unit]) => n >= unit) || [1, ''];
  return `${Number((n / unit).toPrecision(3))}${sign && ' ' + sign}`;
};
const counted = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;
const megabytes = n => `${(n / 1e6).toLocaleString('en-US', {minimumFractionDigits: 1, maximumFractionDigits: 1})} MB`;
const colour = level => level === null ? data.head : data.colours[level % data.colours.length];
const levelName = level => level === null ? 'no map' : `level ${level}`;
let chosen = null;

function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) key in made ? made[key] = value : made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function draw(tag, attributes = {}, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// The sums of rows, as the tables and tiles show them.
const SUMS = ['macs', 'additions', 'elementwise', 'parameters', 'activations', 'weight_bytes', 'output_bytes'];
function sums(numbers) {
  const found = Object.fromEntries(SUMS.map(key => [key, 0]));
  for (const n of numbers) for (const key of SUMS) found[key] += data.rows[n][key];
  return found;
}

const blockOf = [];
data.blocks.forEach((block, b) => block.rows.forEach(n => { blockOf[n] = b; }));
const grouped = group => {
  const last = data.rows[group.rows[group.rows.length - 1]];
  return {...sums(group.rows), name: group.name, times: group.times, layers: group.rows.length, output: last.output, field: last.field, level: last.level, block: blockOf[group.rows[0]]};
};
const layer = n => ({...data.rows[n], block: blockOf[n], number: n});
const blocks = data.blocks.map(grouped), levels = data.levels.map(grouped);

// --- graphs

const pen = document.createElement('canvas').getContext('2d');
function width(text, font) {
  pen.font = font;
  return pen.measureText(text).width;
}

const MARKER = () => draw('marker', {id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto-start-reverse'}, draw('path', {d: 'M0 0 8 4 0 8z', fill: '#8fa1b3'}));

// A line through the points that the layout gives, its corners rounded.
function curve(points) {
  let path = `M${points[0].x} ${points[0].y}`;
  for (let i = 1; i < points.length - 1; i++) {
    const next = points[i + 1], half = i + 1 === points.length - 1 ? next : {x: (points[i].x + next.x) / 2, y: (points[i].y + next.y) / 2};
    path += `Q${points[i].x} ${points[i].y} ${half.x} ${half.y}`;
  }
  return path;
}

// Nodes: {key, lines, level, share, title, open}; edges: [key, key].
function graph(nodes, edges, label) {
  const layout = new dagre.graphlib.Graph();
  layout.setGraph({rankdir: 'TB', nodesep: 18, ranksep: 26, marginx: 4, marginy: 4});
  layout.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) {
    const widths = node.lines.map((text, i) => width(text, i ? '11px system-ui, sans-serif' : '12px system-ui, sans-serif'));
    layout.setNode(node.key, {width: Math.max(...widths) + 26, height: 10 + 15 * node.lines.length});
  }
  for (const [from, to] of edges) layout.setEdge(from, to);
  dagre.layout(layout);
  const size = layout.graph(), drawing = draw('svg', {role: 'group', 'aria-label': label, viewBox: `0 0 ${size.width} ${size.height}`, width: size.width, height: size.height}, draw('defs', {}, MARKER()));
  for (const edge of layout.edges()) drawing.append(draw('path', {class: 'edge', d: curve(layout.edge(edge).points), 'marker-end': 'url(#arrow)'}));
  for (const node of nodes) {
    const {x, y, width: wide, height: high} = layout.node(node.key);
    const box = draw('g', {class: 'node', transform: `translate(${x - wide / 2} ${y - high / 2})`, 'data-key': node.key},
      draw('title', {}, node.title),
      draw('rect', {class: 'box', width: wide, height: high, rx: 5, fill: '#fff'}),
      draw('rect', {width: wide, height: high, rx: 5, fill: colour(node.level), 'fill-opacity': .16}),
      draw('rect', {width: 5, height: high, rx: 2, fill: colour(node.level)}));
    if (node.share) box.append(draw('rect', {x: 5, y: high - 3, width: Math.max((wide - 5) * node.share, 1), height: 3, fill: colour(node.level)}));
    node.lines.forEach((text, i) => box.append(draw('text', {x: wide / 2 + 2, y: 17 + 15 * i, 'text-anchor': 'middle', class: i ? 'light' : ''}, text)));
    if (node.open) {
      box.setAttribute('tabindex', 0);
      box.setAttribute('role', 'button');
      box.setAttribute('aria-label', node.lines.join(', '));
      box.addEventListener('click', node.open);
      box.addEventListener('keydown', event => {
        if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); node.open(); }
      });
    }
    drawing.append(box);
  }
  return drawing;
}

function inputs() {
  return data.inputs.map((shape, i) => ({key: `input${i}`, lines: [data.inputs.length > 1 ? `input ${i + 1}` : 'input', shape], level: null, title: shape}));
}

function unique(pairs) {
  return [...new Map(pairs.map(pair => [pair.join('>'), pair])).values()];
}

function overview() {
  const most = Math.max(...blocks.map(block => block.macs), 1);
  const nodes = blocks.map((block, b) => ({
    key: `block${b}`, level: block.level, share: block.macs / most, open: () => open(b),
    lines: [block.name, [block.times > 1 && `${block.times} times`, block.output].filter(Boolean).join(' · '), `${short(block.macs)} MACs · ${short(block.parameters)} parameters`],
    title: `${block.name}: ${whole(block.macs)} multiply-accumulates, ${whole(block.parameters)} parameters`,
  }));
  const key = n => n < 0 ? `input${-1 - n}` : `block${blockOf[n]}`;
  const edges = unique(data.links.map(([from, to]) => [key(from), key(to)]).filter(([from, to]) => from !== to));
  const drawing = graph([...inputs(), ...nodes], edges, 'blocks');
  drawing.classList.add('overview');
  at('graph').append(drawing);
  const place = at('graph'), size = drawing.viewBox.baseVal, fits = () => (place.clientWidth - 20) / size.width;
  let scale = 1;
  const zoom = to => {
    scale = Math.min(3, Math.max(.05, to));
    drawing.setAttribute('width', scale * size.width);
    drawing.setAttribute('height', scale * size.height);
  };
  const start = () => {  // at the input, however wide the graph is
    zoom(Math.min(1, Math.max(.6, fits())));
    const first = drawing.querySelector('.node').getBoundingClientRect(), seen = place.getBoundingClientRect();
    place.scrollBy(first.left + first.width / 2 - seen.left - seen.width / 2, 0);
  };
  start();
  at('smaller').onclick = () => zoom(.8 * scale);
  at('larger').onclick = () => zoom(1.25 * scale);
  at('fit').onclick = () => zoom(Math.min(1, fits()));
  at('broad').onclick = () => {
    const broad = document.querySelector('main').classList.toggle('broad');
    at('broad').setAttribute('aria-pressed', broad);
    charts();
    start();
  };
  const found = [...new Set(data.rows.map(row => row.level))];
  for (const level of found) at('legend').append(make('li', {}, make('i', {style: `background: ${colour(level)}`}), levelName(level)));
}

// --- one block, opened

function open(b) {
  chosen = b;
  const block = blocks[b], {rows, times} = data.blocks[b], first = rows.slice(0, rows.length / times), within = new Set(first);
  const nodes = first.map(n => {
    const row = data.rows[n], name = row.name.startsWith(block.name.split(' ... ')[0]) ? row.name.slice(block.name.split(' ... ')[0].length).replace(/^[_/]/, '') || row.name : row.name;
    return {key: `row${n}`, level: row.level, lines: [name, [row.kind, row.kernel].filter(Boolean).join(' '), row.output], title: `${row.name}: ${whole(row.macs)} multiply-accumulates, ${whole(row.parameters)} parameters`};
  });
  const ends = [], edges = [];
  for (const [from, to] of data.links) {
    if (!within.has(to)) continue;
    const key = within.has(from) ? `row${from}` : from < 0 ? `from input ${-1 - from}` : `from ${blockOf[from]}`;
    if (!within.has(from) && !ends.some(end => end.key === key)) ends.push({key, level: from < 0 ? null : data.rows[from].level, lines: [from < 0 ? 'input' : `from ${blocks[blockOf[from]].name}`], title: 'what the block reads'});
    edges.push([key, `row${to}`]);
  }
  const inner = make('div', {className: 'graph inner'}, graph([...ends, ...nodes], unique(edges), `layers of ${block.name}`));
  const close = make('button', {onclick: shut}, 'close');
  const about = [times > 1 ? `${times} equal blocks of ${counted(first.length, 'layer')}, the first is drawn` : counted(first.length, 'layer'), block.output && `gives ${block.output}`, `${whole(block.macs)} multiply-accumulates`, `${whole(block.parameters)} parameters${times > 1 ? ' in all' : ''}`, block.field && `sees ${block.field} of the input`].filter(Boolean).join('; ');
  const figures = make('div', {className: 'wide'});
  table(figures, INNER, () => rows.map(layer), () => {});
  at('opened').replaceChildren(make('div', {className: 'bar'}, make('h2', {}, block.name), make('span', {className: 'buttons'}, close)), make('p', {}, about), make('div', {className: 'pair'}, inner, figures));
  at('opened').hidden = false;
  mark();
  const {top} = at('opened').getBoundingClientRect();
  if (top < 0 || top > innerHeight - 120) at('opened').scrollIntoView();
}

function shut() {
  chosen = null;
  at('opened').hidden = true;
  mark();
}

function mark() {
  for (const node of document.querySelectorAll('.overview .node')) node.classList.toggle('chosen', node.dataset.key === `block${chosen}`);
  for (const slot of document.querySelectorAll('.slot')) slot.classList.toggle('chosen', chosen !== null && blockOf[slot.dataset.row] === chosen);
  for (const line of document.querySelectorAll('#table tbody tr')) line.classList.toggle('chosen', chosen !== null && Number(line.dataset.block) === chosen);
}

// --- charts

const CHARTS = [
  ['feature maps', 'output_bytes', megabytes], ['weights', 'weight_bytes', megabytes],
  ['multiply-accumulates', 'macs', short], ['receptive field', 'seen', n => `${whole(n)} of the input`],
];
function charts() {
  const rows = data.rows, wide = Math.max(at('charts').clientWidth, 280), high = 110, left = 4, top = 16, step = (wide - left) / rows.length;
  at('charts').replaceChildren();
  for (const [title, key, said] of CHARTS) {
    const values = rows.map(row => row[key] || 0), most = Math.max(...values);
    if (!most) continue;
    const drawing = draw('svg', {role: 'img', 'aria-label': `${title} by depth`, width: wide, height: high, viewBox: `0 0 ${wide} ${high}`});
    drawing.append(draw('line', {x1: left, x2: wide, y1: high - .5, y2: high - .5, stroke: '#8fa1b3'}));
    drawing.append(draw('line', {x1: left, x2: wide, y1: top, y2: top, stroke: '#dde3ea'}), draw('text', {x: left, y: 11, class: 'light'}, said(most)));
    rows.forEach((row, n) => {
      const tall = values[n] / most * (high - top);
      drawing.append(draw('rect', {x: left + n * step, y: high - tall, width: Math.max(step - (step > 4 ? 1 : 0), .5), height: tall, fill: colour(row.level)}));
    });
    rows.forEach((row, n) => {
      const slot = draw('rect', {class: 'slot', x: left + n * step, y: 0, width: step, height: high, 'data-row': n}, draw('title', {}, `${row.name} (${row.kind}): ${said(values[n])}`));
      slot.addEventListener('click', () => open(blockOf[n]));
      drawing.append(slot);
    });
    at('charts').append(make('div', {className: 'chart'}, make('h3', {}, title), drawing));
  }
  mark();
}

// --- tables that sort: [key, heading, whether it is a number]

const COSTS = [
  ['macs', 'MACs', true], ['additions', 'additions', true], ['elementwise', 'others', true], ['parameters', 'parameters', true],
  ['activations', 'activations', true], ['weight_bytes', 'weights', true, megabytes], ['output_bytes', 'feature maps', true, megabytes],
];
const LEVEL = [['name', 'level'], ['layers', 'layers', true], ['output', 'output'], ['field', 'field', true], ...COSTS];
const BLOCK = [['name', 'block'], ['times', 'times', true], ['output', 'output'], ['field', 'field', true], ...COSTS];
const INNER = [['name', 'layer'], ['kernel', 'kernel'], ['output', 'output'], ['macs', 'MACs', true], ['parameters', 'parameters', true], ['field', 'field', true], ['kind', 'kind'], ...COSTS.filter(([key]) => key !== 'macs' && key !== 'parameters')];
const LAYER = [['name', 'layer'], ['kind', 'kind'], ['kernel', 'kernel'], ['output', 'output'], ['field', 'field', true], ...COSTS];

function table(place, columns, records, then) {
  let by = null, down = true;
  const head = make('tr'), body = make('tbody'), foot = make('tfoot');
  const value = (record, key) => key === 'field' ? parseInt(record.field, 10) || 0 : record[key];
  function fill() {
    const lines = records();
    if (by !== null) {
      const [key, , number] = columns[by];
      lines.sort((a, b) => (number ? value(a, key) - value(b, key) : String(a[key]).localeCompare(String(b[key]), 'en', {numeric: true})) * (down ? -1 : 1));
    }
    const cell = (record, [key, , number, said]) => make('td', {className: number ? 'number' : ''}, record[key] === undefined ? '' : typeof record[key] === 'number' ? (said || whole)(record[key]) : record[key]);
    body.replaceChildren(...lines.map(record => {
      const line = make('tr', {style: `--level: ${colour(record.level)}`, 'data-block': record.block, onclick: () => then(record)}, ...columns.map(column => cell(record, column)));
      return line;
    }));
    const total = {name: 'total'};
    for (const key of SUMS) total[key] = lines.reduce((sum, line) => sum + line[key], 0);
    foot.replaceChildren(make('tr', {}, ...columns.map(column => cell(total, column))));
    [...head.children].forEach((each, i) => each.setAttribute('aria-sort', i === by ? down ? 'descending' : 'ascending' : 'none'));
    mark();
  }
  columns.forEach(([, heading, number], i) => head.append(make('th', {className: number ? 'number' : '', scope: 'col'}, make('button', {
    onclick: () => { down = by === i ? !down : Boolean(number); by = i; fill(); },
  }, heading))));
  place.replaceChildren(make('table', {}, make('thead', {}, head), body, foot));
  fill();
  return fill;
}

function figures() {
  const kinds = {levels: [LEVEL, () => levels], blocks: [BLOCK, () => blocks], layers: [LAYER, () => data.rows.map((_, n) => layer(n))]};
  let refill;
  const show = name => {
    const [columns, records] = kinds[name];
    for (const button of at('by').children) button.setAttribute('aria-pressed', button.textContent === name);
    const matching = () => records().filter(record => record.name.toLowerCase().includes(at('filter').value.trim().toLowerCase()));
    refill = table(at('table'), columns, matching, record => open(record.block));
  };
  for (const name of Object.keys(kinds)) at('by').append(make('button', {onclick: () => show(name)}, name));
  at('filter').oninput = () => refill();
  show('blocks');
}

// --- the whole

function totals() {
  at('name').textContent = data.name;
  at('about').textContent = `Input ${data.inputs.join(', ')}, output ${data.outputs.join(', ')}; memory at ${data.dtype}; ${counted(data.rows.length, 'layer')}.`;
  const {trainable, non_trainable, macs, additions, weight_bytes, output_bytes, inference_bytes, training_bytes} = data.totals;
  const tiles = [
    ['multiply-accumulates', short(macs), whole(macs)], ['other additions', short(additions), whole(additions)],
    ['parameters', short(trainable + non_trainable), `${whole(trainable)} trainable, ${whole(non_trainable)} others`],
    ['weights', megabytes(weight_bytes), data.dtype], ['all feature maps', megabytes(output_bytes), 'were they kept'],
    ['at inference', megabytes(inference_bytes), 'of activations at once'], ['in a training step', megabytes(training_bytes), 'of activations and gradients at once'],
  ];
  for (const [name, value, more] of tiles) at('totals').append(make('div', {}, make('dt', {}, name), make('dd', {}, value, make('small', {}, more))));
}

totals();
overview();
charts();
figures();
let waiting;
addEventListener('resize', () => { clearTimeout(waiting); waiting = setTimeout(charts, 100); });
document.body.dataset.ready = 'yes';
