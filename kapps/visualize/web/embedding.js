// Vectors: their places in a plane, labels, search, nearest neighbours.
const points = data.points, [total, features] = data.shape;
let chosen = null, hovered = null, matches = new Set(), view = null;
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const shortened = text => text.length > 24 ? `${text.slice(0, 23)}…` : text;

function fit() {
  const xs = points.map(p => p[0]), ys = points.map(p => p[1]), range = values => values.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
  const [x0, x1] = range(xs), [y0, y1] = range(ys), box = canvas.getBoundingClientRect();
  const scale = .9 * Math.min(box.width / (x1 - x0 || 1), box.height / (y1 - y0 || 1));
  view = {scale, x: (x0 + x1) / 2, y: (y0 + y1) / 2};
}
function place(i) {
  const box = canvas.getBoundingClientRect();
  return [box.width / 2 + (points[i][0] - view.x) * view.scale, box.height / 2 - (points[i][1] - view.y) * view.scale];
}

function draw() {
  const box = canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1, context = canvas.getContext('2d');
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  context.scale(ratio, ratio);
  context.clearRect(0, 0, box.width, box.height);
  context.font = '12px system-ui, sans-serif';
  const near = new Set(chosen === null ? [] : data.neighbours[chosen]), isStrong = i => i === chosen || i === hovered || near.has(i) || matches.has(i);
  const boxes = [];
  const order = [...points.keys()].sort((a, b) => isStrong(a) - isStrong(b));
  for (const i of order) {
    const [x, y] = place(i);
    if (x < -5 || y < -5 || x > box.width + 5 || y > box.height + 5) continue;
    const strong = isStrong(i);
    context.globalAlpha = strong || (chosen === null && !matches.size) ? 1 : .35;
    context.fillStyle = i === chosen ? style('--focus') : near.has(i) ? '#d9730d' : matches.has(i) ? '#2a9d5c' : style('--bar');
    context.beginPath();
    context.arc(x, y, strong ? 5 : 3, 0, 2 * Math.PI);
    context.fill();
  }
  // Labels where there is room, those of chosen vectors first.
  for (const i of order.reverse()) {
    if (boxes.length > 150 && !isStrong(i)) break;
    const [x, y] = place(i), strong = isStrong(i), text = shortened(data.labels[i]), right = x + 9 + context.measureText(text).width;
    const isFree = boxes.every(([a, b, c]) => right < a || x > b || Math.abs(y - c) > 13);
    if (!isFree && i !== chosen && i !== hovered) continue;
    boxes.push([x, right, y]);
    context.globalAlpha = strong || (chosen === null && !matches.size) ? 1 : .35;
    context.fillStyle = style('--text');
    context.fillText(text, x + 7, y + 4);
  }
  context.globalAlpha = 1;
}

function nearestTo(event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = 15 ** 2;
  points.forEach((_, i) => {
    const [a, b] = place(i), distance = (a - x) ** 2 + (b - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  });
  return best;
}

function choose(i) {
  chosen = i;
  const list = element('neighbours');
  if (i === null) { element('chosen').textContent = 'No vector is chosen.'; list.replaceChildren(); draw(); return; }
  element('chosen').textContent = data.labels[i];
  list.replaceChildren(...data.neighbours[i].map((k, n) => createHtml('li', {}, createHtml('button', {type: 'button', onclick: () => choose(k)}, createHtml('span', {}, data.labels[k]), createHtml('span', {}, data.cosines[i][n].toFixed(3))))));
  draw();
}

function search() {
  const text = element('search').value.trim().toLowerCase();
  const found = text ? points.map((_, i) => i).filter(i => data.labels[i].toLowerCase().includes(text)) : [];
  matches = new Set(found);
  element('found').textContent = text ? `${count(found.length, 'label')} found` : '';
  found.sort((a, b) => data.labels[a].length - data.labels[b].length);
  element('results').replaceChildren(...found.slice(0, 50).map(i => createHtml('li', {}, createHtml('button', {type: 'button', onclick: () => choose(i)}, createHtml('span', {}, data.labels[i])))));
  draw();
}

const canvas = createHtml('canvas', {id: 'plane', role: 'img', tabindex: 0, 'aria-label': `${count(total, 'vector')} of ${count(features, 'number')} in a plane`});
showHeader();
element('notes').append(createHtml('li', {}, `${count(total, 'vector')} of ${count(features, 'number')}. ${data.share === null ? 'The places are given.' : `The plane is that of the first two principal components, which have ${(100 * data.share).toFixed(1)} % of the variance.`} Neighbours have the largest cosines in all dimensions.`));
element('main').append(createHtml('section', {'aria-label': 'Plane'}, createHtml('div', {className: 'plane'},
  createHtml('div', {}, createHtml('div', {className: 'bar'}, createHtml('h2', {id: 'hover', 'aria-live': 'polite'}, ' '), createHtml('button', {type: 'button', id: 'smaller', 'aria-label': 'zoom out', onclick: () => zoom(.8)}, '−'), createHtml('button', {type: 'button', id: 'larger', 'aria-label': 'zoom in', onclick: () => zoom(1.25)}, '+'), createHtml('button', {type: 'button', id: 'fit', onclick: () => { fit(); draw(); }}, 'fit')), canvas),
  createHtml('div', {}, createHtml('input', {id: 'search', type: 'search', placeholder: 'search labels', 'aria-label': 'search labels', oninput: search}), createHtml('p', {id: 'found', className: 'light', 'aria-live': 'polite'}), createHtml('ul', {id: 'results', className: 'list', style: 'max-height: 14rem'}),
    createHtml('h3', {style: 'margin-top: .8rem'}, 'Nearest neighbours of'), createHtml('p', {id: 'chosen', 'aria-live': 'polite'}, 'No vector is chosen.'), createHtml('ul', {id: 'neighbours', className: 'list'})))));

function zoom(factor) { view.scale *= factor; draw(); }
let dragged = null;
canvas.addEventListener('pointerdown', event => { dragged = {x: event.clientX, y: event.clientY, moved: false}; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener('pointermove', event => {
  if (dragged && event.buttons) {
    const dx = event.clientX - dragged.x, dy = event.clientY - dragged.y;
    if (dragged.moved || Math.hypot(dx, dy) > 4) {
      view.x -= dx / view.scale;
      view.y += dy / view.scale;
      dragged = {x: event.clientX, y: event.clientY, moved: true};
      draw();
    }
    return;
  }
  const i = nearestTo(event);
  if (i !== hovered) { hovered = i; element('hover').textContent = i === null ? ' ' : data.labels[i]; draw(); }
});
canvas.addEventListener('pointerup', event => { if (dragged && !dragged.moved) choose(nearestTo(event)); dragged = null; });
canvas.addEventListener('wheel', event => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); }, {passive: false});
canvas.addEventListener('keydown', event => {
  const step = 40 / view.scale, moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]};
  if (event.key === '+') zoom(1.25);
  else if (event.key === '-') zoom(.8);
  else if (event.key === 'Escape') choose(null);
  else if (moves[event.key]) { event.preventDefault(); view.x += moves[event.key][0]; view.y += moves[event.key][1]; draw(); }
});
addEventListener('resize', draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
fit();
draw();
document.body.dataset.ready = 'yes';
