// An image classifier and one image: the most likely classes, heat maps with their check, units of the feature maps.
const [height, width] = data.image.shape;
const shownImage = new Image();
let greys = null;  // lightness of each pixel of the image, from 0 to 255

function readImage() {
  const canvas = createHtml('canvas', {width, height}), context = canvas.getContext('2d');
  context.drawImage(shownImage, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  greys = Float32Array.from({length: width * height}, (_, i) => .3 * pixels[4 * i] + .59 * pixels[4 * i + 1] + .11 * pixels[4 * i + 2]);
}

function createClasses() {
  const rows = data.classes.map(({index, name, logit, share}) => createHtml('tr', {},
    createHtml('td', {}, name, index === data.explained.index ? createHtml('small', {}, ' (explained)') : ''),
    createHtml('td', {}, createHtml('meter', {min: 0, max: 1, value: share, 'aria-label': `${(100 * share).toFixed(1)} percent`})),
    createHtml('td', {className: 'number'}, `${(100 * share).toFixed(1)} %`), createHtml('td', {className: 'number'}, decimal(logit))));
  const head = ['class', '', 'softmax', 'logit'].map(text => createHtml('th', {scope: 'col', className: ['softmax', 'logit'].includes(text) ? 'number' : ''}, text));
  return createHtml('table', {id: 'classes'}, createHtml('thead', {}, createHtml('tr', {}, ...head)), createHtml('tbody', {}, ...rows));
}

// --- heat maps

// Returns a line of the rank correlations; the first point is the trained network.
function createCheck(method) {
  const values = [1, ...method.kept], step = 100 / Math.max(1, values.length - 1), y = r => 30 - 28 * Math.max(-.05, r);
  const text = `Rank correlation with random weights: ${method.kept.map((r, i) => `${r.toFixed(2)} down to ${data.check[i]}`).join(', ')}`;
  const drawing = createSvg('svg', {class: 'check', viewBox: '0 0 100 32', preserveAspectRatio: 'none', role: 'img', 'aria-label': text}, createSvg('title', {}, text));
  for (const r of [0, 1]) drawing.append(createSvg('line', {class: 'axis', x1: 0, x2: 100, y1: y(r), y2: y(r), 'vector-effect': 'non-scaling-stroke', ...(r ? {'stroke-dasharray': '2 3'} : {})}));
  drawing.append(createSvg('polyline', {points: values.map((r, i) => `${i * step},${y(r)}`).join(' ')}));
  return drawing;
}

function createHeatMap(method) {
  const canvas = createHtml('canvas', {className: 'pixels', role: 'img', 'aria-label': `Heat map by ${method.name} for ${data.explained.name}: red is evidence for it, blue against it`});
  const values = unpack(method.map), most = percentile(values, .99);
  const draw = over => drawNumbers(canvas, values, height, width, (value, i) => {
    const colour = signedColour(value / most);
    if (!over) return colour;
    const a = Math.min(1, Math.abs(value / most)) ** .7, light = 90 + greys[i] / 255 * 165;
    return colour.map(c => Math.round(light + a * (c - light)));
  });
  const last = method.kept[method.kept.length - 1];
  const kept = createHtml('p', {className: 'light kept'}, (last === undefined ? 'no check' : `keeps ${last.toFixed(2)} with random weights`) + (method.zeros > .2 ? `; ${(100 * method.zeros).toFixed(0)} % of the map is 0` : ''));
  canvas.addEventListener('pointermove', event => {
    const box = canvas.getBoundingClientRect(), x = Math.floor((event.clientX - box.left) / box.width * width), y = Math.floor((event.clientY - box.top) / box.height * height);
    if (x >= 0 && y >= 0 && x < width && y < height) element('value').textContent = `${method.name} at row ${y}, column ${x}: ${decimal(values[y * width + x])}`;
  });
  const figure = createHtml('figure', {}, createHtml('h3', {}, method.name), canvas, ...(method.kept.length ? [createCheck(method)] : []), kept);
  return {draw, figure};
}

function showHeatMaps() {
  const maps = data.methods.map(createHeatMap), over = createHtml('input', {type: 'checkbox', id: 'over', checked: true});
  const draw = () => maps.forEach(map => map.draw(over.checked));
  over.addEventListener('change', draw);
  const about = createHtml('p', {className: 'light'}, `Red is evidence for ${data.explained.name}, blue against it; each map has a scale of its own. `,
    data.check.length ? `The line below a map is Spearman's rank correlation with the same map when the layers from the output down to ${data.check.join(', ')} have random weights. A map that stays near 1 shows the image and not what the network has learnt (Adebayo 2018). Places that are 0 in both maps count as equal.` : '');
  const left = Object.entries(data.left_out).map(([name, reason]) => createHtml('li', {}, `${name} is left out: ${reason}`));
  const section = createHtml('section', {id: 'maps', 'aria-label': 'Heat maps'},
    createHtml('div', {className: 'bar'}, createHtml('h2', {}, 'Heat maps'), createHtml('label', {}, over, ' over the image')), about,
    createHtml('p', {id: 'value', className: 'light status', 'aria-live': 'polite'}), createHtml('div', {className: 'maps', style: `--ratio: ${width}/${height}`}, ...maps.map(map => map.figure)),
    createHtml('ul', {className: 'light', id: 'left', hidden: !left.length}, ...left));
  element('main').append(section);
  draw();
}

// --- units of the feature maps

let pinned = null;

function drawRegion(canvas, unit) {
  const context = canvas.getContext('2d'), [rows, columns] = unit.map.shape, values = unpack(unit.map), most = unit.map.scale || 1;
  canvas.width = width;
  canvas.height = height;
  context.drawImage(shownImage, 0, 0);
  const pixels = context.getImageData(0, 0, width, height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const a = .25 + .75 * Math.max(0, values[Math.floor(y / height * rows) * columns + Math.floor(x / width * columns)] / most), i = 4 * (y * width + x);
    for (let c = 0; c < 3; c++) pixels.data[i + c] *= a;
  }
  context.putImageData(pixels, 0, 0);
  const [top, left, tall, wide] = unit.region, line = Math.max(1, width / 100);
  context.strokeStyle = '#ffb000';
  context.lineWidth = line;
  context.strokeRect(left + line / 2, top + line / 2, Math.max(line, wide - line), Math.max(line, tall - line));
}

function showUnit(level, unit) {
  const [top, left, tall, wide] = unit.region, panel = element('unit');
  const whole = createHtml('canvas', {className: 'pixels input', role: 'img', 'aria-label': `The image, light where unit ${unit.unit} is active; a frame around the region of its largest value`});
  const crop = createHtml('canvas', {className: 'pixels crop', width: Math.max(1, wide), height: Math.max(1, tall), role: 'img', 'aria-label': 'The region of the largest value'});
  drawRegion(whole, unit);
  crop.getContext('2d').drawImage(shownImage, left, top, wide, tall, 0, 0, wide, tall);
  const parts = [createHtml('figure', {}, crop, createHtml('figcaption', {}, `region: ${wide}x${tall} pixels`))];
  if (unit.maximised) parts.push(createHtml('figure', {}, createHtml('img', {className: 'pixels crop', src: unit.maximised, alt: `Activation maximisation of unit ${unit.unit}`}), createHtml('figcaption', {}, 'activation maximisation')));
  const images = (unit.images || []).map((src, i) => createHtml('img', {className: 'pixels', src, alt: `Top image ${i + 1} of unit ${unit.unit}`, width: 64}));
  panel.replaceChildren(
    createHtml('h3', {}, `${level.layer}, unit ${unit.unit}`),
    createHtml('p', {className: 'light'}, `Largest value ${decimal(unit.most)} at row ${unit.place[0]}, column ${unit.place[1]} of ${level.shape[0]}x${level.shape[1]}.${pinned === unit ? ' Escape unpins it.' : ''}`),
    createHtml('div', {className: 'row'}, whole, ...parts),
    ...(images.length ? [createHtml('p', {className: 'light'}, 'Top images'), createHtml('div', {className: 'row'}, ...images)] : []));
  panel.dataset.unit = unit.unit;
  panel.dataset.layer = level.layer;
}

function createUnit(level, unit) {
  const canvas = createHtml('canvas', {className: 'pixels', 'aria-hidden': 'true'});
  drawNumbers(canvas, unpack(unit.map), ...unit.map.shape, value => greyColour(value / (unit.map.scale || 1)));
  const button = createHtml('button', {className: 'unit', type: 'button', 'aria-pressed': 'false', 'aria-label': `unit ${unit.unit}, largest value ${decimal(unit.most)}`}, canvas, String(unit.unit));
  const show = () => { if (pinned === null || pinned === unit) showUnit(level, unit); };
  button.addEventListener('pointerenter', show);
  button.addEventListener('focus', show);
  button.addEventListener('click', () => {
    for (const other of document.querySelectorAll('.unit')) other.setAttribute('aria-pressed', 'false');
    pinned = pinned === unit ? null : unit;
    button.setAttribute('aria-pressed', String(pinned === unit));
    showUnit(level, unit);
  });
  return button;
}

function showLevels() {
  if (!data.levels.length) return;
  const panel = createHtml('aside', {id: 'unit', 'aria-live': 'polite', 'aria-label': 'Chosen unit'}, createHtml('p', {className: 'light'}, 'Point at a unit, or move to it with the Tab key; a click keeps it.'));
  const levels = data.levels.map(level => {
    const [rows, columns, channels] = level.shape, field = level.receptive_field;
    return createHtml('div', {className: 'level'}, createHtml('h3', {}, `${level.layer} `, createHtml('small', {}, `${rows}x${columns}, ${count(channels, 'unit')}${field ? `, receptive field ${field[1]}x${field[0]} pixels` : ''}`)),
      createHtml('div', {className: 'units'}, ...level.units.map(unit => createUnit(level, unit))));
  });
  element('main').append(createHtml('section', {id: 'levels', 'aria-label': 'Feature maps'}, createHtml('h2', {}, 'Feature maps'),
    createHtml('p', {className: 'light'}, 'The units with the largest values of the last layer of each size. White is the largest value of a unit.'),
    createHtml('div', {className: 'levels'}, createHtml('div', {}, ...levels), panel)));
  addEventListener('keydown', event => {
    if (event.key !== 'Escape') return;
    pinned = null;
    for (const other of document.querySelectorAll('.unit')) other.setAttribute('aria-pressed', 'false');
  });
  panel.replaceChildren(panel.firstChild);
}

shownImage.onload = () => {
  readImage();
  showHeader();
  element('main').append(createHtml('section', {id: 'input', 'aria-label': 'Image and classes'}, createHtml('div', {className: 'row'},
    createHtml('img', {className: 'pixels input', src: data.image.url, alt: `The input, ${width}x${height} pixels`}), createHtml('div', {className: 'scroll'}, createClasses()))));
  showHeatMaps();
  showLevels();
  document.body.dataset.ready = 'yes';
};
shownImage.src = data.image.url;
