'use strict';
// The profile: rows (one for each call of a layer), links between rows, folded blocks and levels of rows.
const data = JSON.parse(document.getElementById('data').textContent);
const element = id => document.getElementById(id);
const integer = n => n.toLocaleString('en-US');
const abbreviated = n => {
  const [unit, sign] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']].find(([unit]) => n >= unit) || [1, ''];
  return `${Number((n / unit).toPrecision(3))}${sign && ' ' + sign}`;
};
const count = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;
const megabytes = n => `${(n / 1e6).toLocaleString('en-US', {minimumFractionDigits: 1, maximumFractionDigits: 1})} MB`;
const colour = level => level === null ? data.head_colour : data.level_colours[level % data.level_colours.length];
const levelName = level => level === null ? 'head' : `level ${level}`;
let selected = null;

// Sums of rows, for the tables.
const SUMS = ['macs', 'additions', 'elementwise', 'parameters', 'activations', 'weight_bytes', 'output_bytes'];
function sums(indices) {
  const totals = Object.fromEntries(SUMS.map(key => [key, 0]));
  for (const n of indices) for (const key of SUMS) totals[key] += data.rows[n][key];
  return totals;
}

const blockOf = [];
data.blocks.forEach((block, b) => block.rows.forEach(n => { blockOf[n] = b; }));
const groupRecord = group => {
  const last = data.rows[group.rows[group.rows.length - 1]];
  return {...sums(group.rows), name: group.name, times: group.times, layers: group.rows.length, output: last.output, receptive_field: last.receptive_field, level: last.level, block: blockOf[group.rows[0]]};
};
const layerRecord = n => ({...data.rows[n], block: blockOf[n], index: n});
const blocks = data.blocks.map(groupRecord), levels = data.levels.map(groupRecord);

// --- graphs

const canvas = document.createElement('canvas').getContext('2d');
function textWidth(text, font) {
  canvas.font = font;
  return canvas.measureText(text).width;
}

const createArrow = () => createSvg('marker', {id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto-start-reverse'}, createSvg('path', {d: 'M0 0 8 4 0 8z', fill: '#8fa1b3'}));

// Returns the path of a line through the layout's points, with rounded corners.
function edgePath(points) {
  let path = `M${points[0].x} ${points[0].y}`;
  for (let i = 1; i < points.length - 1; i++) {
    const next = points[i + 1], middle = i + 1 === points.length - 1 ? next : {x: (points[i].x + next.x) / 2, y: (points[i].y + next.y) / 2};
    path += `Q${points[i].x} ${points[i].y} ${middle.x} ${middle.y}`;
  }
  return path;
}

// Returns the drawing of a graph. Nodes: {key, lines, level, fraction, title, open}; edges: [key, key].
function createGraph(nodes, edges, label) {
  const layout = new dagre.graphlib.Graph();
  layout.setGraph({rankdir: 'TB', nodesep: 18, ranksep: 26, marginx: 4, marginy: 4});
  layout.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) {
    const widths = node.lines.map((text, i) => textWidth(text, i ? '11px system-ui, sans-serif' : '12px system-ui, sans-serif'));
    layout.setNode(node.key, {width: Math.max(...widths) + 26, height: 10 + 15 * node.lines.length});
  }
  for (const [from, to] of edges) layout.setEdge(from, to);
  dagre.layout(layout);
  const size = layout.graph(), drawing = createSvg('svg', {role: 'group', 'aria-label': label, viewBox: `0 0 ${size.width} ${size.height}`, width: size.width, height: size.height}, createSvg('defs', {}, createArrow()));
  for (const edge of layout.edges()) drawing.append(createSvg('path', {class: 'edge', d: edgePath(layout.edge(edge).points), 'marker-end': 'url(#arrow)'}));
  for (const node of nodes) {
    const {x, y, width: nodeWidth, height: nodeHeight} = layout.node(node.key);
    const box = createSvg('g', {class: 'node', transform: `translate(${x - nodeWidth / 2} ${y - nodeHeight / 2})`, 'data-key': node.key},
      createSvg('title', {}, node.title),
      createSvg('rect', {class: 'box', width: nodeWidth, height: nodeHeight, rx: 5, fill: '#fff'}),
      createSvg('rect', {width: nodeWidth, height: nodeHeight, rx: 5, fill: colour(node.level), 'fill-opacity': .16}),
      createSvg('rect', {width: 5, height: nodeHeight, rx: 2, fill: colour(node.level)}));
    if (node.fraction) box.append(createSvg('rect', {x: 5, y: nodeHeight - 3, width: Math.max((nodeWidth - 5) * node.fraction, 1), height: 3, fill: colour(node.level)}));
    node.lines.forEach((text, i) => box.append(createSvg('text', {x: nodeWidth / 2 + 2, y: 17 + 15 * i, 'text-anchor': 'middle', class: i ? 'light' : ''}, text)));
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

function inputNodes() {
  return data.inputs.map((shape, i) => ({key: `input${i}`, lines: [data.inputs.length > 1 ? `input ${i + 1}` : 'input', shape], level: null, title: shape}));
}

function uniquePairs(pairs) {
  return [...new Map(pairs.map(pair => [pair.join('>'), pair])).values()];
}

function showOverview() {
  const largest = Math.max(...blocks.map(block => block.macs), 1);
  const nodes = blocks.map((block, b) => ({
    key: `block${b}`, level: block.level, fraction: block.macs / largest, open: () => openBlock(b),
    lines: [block.name, [block.times > 1 && `${block.times} times`, block.output].filter(Boolean).join(' · '), `${abbreviated(block.macs)} MACs · ${abbreviated(block.parameters)} parameters`],
    title: `${block.name}: ${integer(block.macs)} multiply-accumulates, ${integer(block.parameters)} parameters`,
  }));
  const key = n => n < 0 ? `input${-1 - n}` : `block${blockOf[n]}`;
  const edges = uniquePairs(data.links.map(([from, to]) => [key(from), key(to)]).filter(([from, to]) => from !== to));
  const drawing = createGraph([...inputNodes(), ...nodes], edges, 'blocks');
  drawing.classList.add('overview');
  element('graph').append(drawing);
  const container = element('graph'), size = drawing.viewBox.baseVal, fittingScale = () => (container.clientWidth - 20) / size.width;
  let scale = 1;
  const zoom = value => {
    scale = Math.min(3, Math.max(.05, value));
    drawing.setAttribute('width', scale * size.width);
    drawing.setAttribute('height', scale * size.height);
  };
  const showInput = () => {  // centres the input, even in a graph wider than the window
    zoom(Math.min(1, Math.max(.6, fittingScale())));
    const first = drawing.querySelector('.node').getBoundingClientRect(), visible = container.getBoundingClientRect();
    container.scrollBy(first.left + first.width / 2 - visible.left - visible.width / 2, 0);
  };
  showInput();
  element('smaller').onclick = () => zoom(.8 * scale);
  element('larger').onclick = () => zoom(1.25 * scale);
  element('fit').onclick = () => zoom(Math.min(1, fittingScale()));
  element('broad').onclick = () => {
    const broad = document.querySelector('main').classList.toggle('broad');
    element('broad').setAttribute('aria-pressed', broad);
    showCharts();
    showInput();
  };
  for (const level of new Set(data.rows.map(row => row.level))) element('legend').append(createHtml('li', {}, createHtml('i', {style: `background: ${colour(level)}`}), levelName(level)));
}

// --- details of one block

function openBlock(b) {
  selected = b;
  const block = blocks[b], {rows, times} = data.blocks[b], first = rows.slice(0, rows.length / times), inside = new Set(first);
  const nodes = first.map(n => {
    const row = data.rows[n], name = row.name.startsWith(block.name.split(' ... ')[0]) ? row.name.slice(block.name.split(' ... ')[0].length).replace(/^[_/]/, '') || row.name : row.name;
    return {key: `row${n}`, level: row.level, lines: [name, [row.kind, row.kernel].filter(Boolean).join(' '), row.output], title: `${row.name}: ${integer(row.macs)} multiply-accumulates, ${integer(row.parameters)} parameters`};
  });
  const sources = [], edges = [];
  for (const [from, to] of data.links) {
    if (!inside.has(to)) continue;
    const key = inside.has(from) ? `row${from}` : from < 0 ? `from input ${-1 - from}` : `from ${blockOf[from]}`;
    if (!inside.has(from) && !sources.some(source => source.key === key)) sources.push({key, level: from < 0 ? null : data.rows[from].level, lines: [from < 0 ? 'input' : `from ${blocks[blockOf[from]].name}`], title: 'input of the block'});
    edges.push([key, `row${to}`]);
  }
  const inner = createHtml('div', {className: 'graph inner'}, createGraph([...sources, ...nodes], uniquePairs(edges), `layers of ${block.name}`));
  const close = createHtml('button', {onclick: closeBlock}, 'close');
  const summary = [times > 1 ? `${times} equal blocks of ${count(first.length, 'layer')}, the graph shows the first` : count(first.length, 'layer'), block.output && `output ${block.output}`, `${integer(block.macs)} multiply-accumulates`, `${integer(block.parameters)} parameters${times > 1 ? ' in total' : ''}`, block.receptive_field && `receptive field ${block.receptive_field}`].filter(Boolean).join('; ');
  const costs = createHtml('div', {className: 'wide'});
  createTable(costs, INNER_COLUMNS, () => rows.map(layerRecord), () => {});
  element('opened').replaceChildren(createHtml('div', {className: 'bar'}, createHtml('h2', {}, block.name), createHtml('span', {className: 'buttons'}, close)), createHtml('p', {}, summary), createHtml('div', {className: 'pair'}, inner, costs));
  element('opened').hidden = false;
  highlightSelected();
  const {top} = element('opened').getBoundingClientRect();
  if (top < 0 || top > innerHeight - 120) element('opened').scrollIntoView();
}

function closeBlock() {
  selected = null;
  element('opened').hidden = true;
  highlightSelected();
}

function highlightSelected() {
  for (const node of document.querySelectorAll('.overview .node')) node.classList.toggle('selected', node.dataset.key === `block${selected}`);
  for (const slot of document.querySelectorAll('.slot')) slot.classList.toggle('selected', selected !== null && blockOf[slot.dataset.row] === selected);
  for (const line of document.querySelectorAll('#table tbody tr')) line.classList.toggle('selected', selected !== null && Number(line.dataset.block) === selected);
}

// --- charts

const CHARTS = [
  ['feature maps', 'output_bytes', megabytes], ['weights', 'weight_bytes', megabytes],
  ['multiply-accumulates', 'macs', abbreviated], ['receptive field', 'receptive_field_size', integer],
];
function showCharts() {
  const rows = data.rows, width = Math.max(element('charts').clientWidth, 280), height = 110, left = 4, top = 16, step = (width - left) / rows.length;
  element('charts').replaceChildren();
  for (const [title, key, format] of CHARTS) {
    const values = rows.map(row => row[key] || 0), largest = Math.max(...values);
    if (!largest) continue;
    const drawing = createSvg('svg', {role: 'img', 'aria-label': `${title} by depth`, width, height, viewBox: `0 0 ${width} ${height}`});
    drawing.append(createSvg('line', {x1: left, x2: width, y1: height - .5, y2: height - .5, stroke: '#8fa1b3'}));
    drawing.append(createSvg('line', {x1: left, x2: width, y1: top, y2: top, stroke: '#dde3ea'}), createSvg('text', {x: left, y: 11, class: 'light'}, format(largest)));
    rows.forEach((row, n) => {
      const barHeight = values[n] / largest * (height - top);
      drawing.append(createSvg('rect', {x: left + n * step, y: height - barHeight, width: Math.max(step - (step > 4 ? 1 : 0), .5), height: barHeight, fill: colour(row.level)}));
    });
    rows.forEach((row, n) => {
      const slot = createSvg('rect', {class: 'slot', x: left + n * step, y: 0, width: step, height, 'data-row': n}, createSvg('title', {}, `${row.name} (${row.kind}): ${format(values[n])}`));
      slot.addEventListener('click', () => openBlock(blockOf[n]));
      drawing.append(slot);
    });
    element('charts').append(createHtml('div', {className: 'chart'}, createHtml('h3', {}, title), drawing));
  }
  highlightSelected();
}

// --- sortable tables; a column is [key, heading, is a number, format]

const COSTS = [
  ['macs', 'MACs', true], ['additions', 'additions', true], ['elementwise', 'other operations', true], ['parameters', 'parameters', true],
  ['activations', 'activations', true], ['weight_bytes', 'weights', true, megabytes], ['output_bytes', 'feature maps', true, megabytes],
];
const LEVEL_COLUMNS = [['name', 'level'], ['layers', 'layers', true], ['output', 'output'], ['receptive_field', 'receptive field', true], ...COSTS];
const BLOCK_COLUMNS = [['name', 'block'], ['times', 'times', true], ['output', 'output'], ['receptive_field', 'receptive field', true], ...COSTS];
const INNER_COLUMNS = [['name', 'layer'], ['kernel', 'kernel'], ['output', 'output'], ['macs', 'MACs', true], ['parameters', 'parameters', true], ['receptive_field', 'receptive field', true], ['kind', 'kind'], ...COSTS.filter(([key]) => key !== 'macs' && key !== 'parameters')];
const LAYER_COLUMNS = [['name', 'layer'], ['kind', 'kind'], ['kernel', 'kernel'], ['output', 'output'], ['receptive_field', 'receptive field', true], ...COSTS];

function createTable(container, columns, records, select) {
  let sortColumn = null, descending = true;
  const head = createHtml('tr'), body = createHtml('tbody'), foot = createHtml('tfoot');
  const value = (record, key) => key === 'receptive_field' ? parseInt(record.receptive_field, 10) || 0 : record[key];
  function fill() {
    const lines = records();
    if (sortColumn !== null) {
      const [key, , number] = columns[sortColumn];
      lines.sort((a, b) => (number ? value(a, key) - value(b, key) : String(a[key]).localeCompare(String(b[key]), 'en', {numeric: true})) * (descending ? -1 : 1));
    }
    const cell = (record, [key, , number, format]) => createHtml('td', {className: number ? 'number' : ''}, record[key] === undefined ? '' : typeof record[key] === 'number' ? (format || integer)(record[key]) : record[key]);
    body.replaceChildren(...lines.map(record => {
      const line = createHtml('tr', {style: `--level: ${colour(record.level)}`, 'data-block': record.block, onclick: () => select(record)}, ...columns.map(column => cell(record, column)));
      return line;
    }));
    const total = {name: 'total'};
    for (const key of SUMS) total[key] = lines.reduce((sum, line) => sum + line[key], 0);
    foot.replaceChildren(createHtml('tr', {}, ...columns.map(column => cell(total, column))));
    [...head.children].forEach((heading, i) => heading.setAttribute('aria-sort', i === sortColumn ? descending ? 'descending' : 'ascending' : 'none'));
    highlightSelected();
  }
  columns.forEach(([, heading, number], i) => head.append(createHtml('th', {className: number ? 'number' : '', scope: 'col'}, createHtml('button', {
    onclick: () => { descending = sortColumn === i ? !descending : Boolean(number); sortColumn = i; fill(); },
  }, heading))));
  container.replaceChildren(createHtml('table', {}, createHtml('thead', {}, head), body, foot));
  fill();
  return fill;
}

function showTables() {
  const kinds = {levels: [LEVEL_COLUMNS, () => levels], blocks: [BLOCK_COLUMNS, () => blocks], layers: [LAYER_COLUMNS, () => data.rows.map((_, n) => layerRecord(n))]};
  let refill;
  const show = name => {
    const [columns, records] = kinds[name];
    for (const button of element('by').children) button.setAttribute('aria-pressed', button.textContent === name);
    const matching = () => records().filter(record => record.name.toLowerCase().includes(element('filter').value.trim().toLowerCase()));
    refill = createTable(element('table'), columns, matching, record => openBlock(record.block));
  };
  for (const name of Object.keys(kinds)) element('by').append(createHtml('button', {onclick: () => show(name)}, name));
  element('filter').oninput = () => refill();
  show('blocks');
}

// --- page

function showTotals() {
  element('name').textContent = data.name;
  element('about').textContent = `Input ${data.inputs.join(', ')}, output ${data.outputs.join(', ')}; memory at ${data.dtype}; ${count(data.rows.length, 'layer')}.`;
  const {trainable, non_trainable, macs, additions, weight_bytes, output_bytes, inference_bytes, training_bytes} = data.totals;
  const tiles = [
    ['multiply-accumulates', abbreviated(macs), integer(macs)], ['other additions', abbreviated(additions), integer(additions)],
    ['parameters', abbreviated(trainable + non_trainable), `${integer(trainable)} trainable, ${integer(non_trainable)} non-trainable`],
    ['weights', megabytes(weight_bytes), data.dtype], ['all feature maps', megabytes(output_bytes), 'of all layers together'],
    ['at inference', megabytes(inference_bytes), 'peak of activations'], ['in a training step', megabytes(training_bytes), 'peak of activations and gradients'],
  ];
  for (const [name, value, details] of tiles) element('totals').append(createHtml('div', {}, createHtml('dt', {}, name), createHtml('dd', {}, value, createHtml('small', {}, details))));
}

showTotals();
showOverview();
showCharts();
showTables();
let resizeTimer;
addEventListener('resize', () => { clearTimeout(resizeTimer); resizeTimer = setTimeout(showCharts, 100); });
document.body.dataset.ready = 'yes';
