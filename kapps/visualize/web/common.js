'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const element = id => document.getElementById(id);
const count = (n, word) => `${n.toLocaleString('en-US')} ${word}${n === 1 ? '' : 's'}`;
const decimal = (x, digits = 3) => Number(x.toPrecision(digits)).toString();

// Returns the numbers of an array of the page: 127 stands for the scale.
function unpack(array) {
  if (!array.values) {
    const text = atob(array.data), values = new Float32Array(text.length);
    for (let i = 0; i < text.length; i++) values[i] = (text.charCodeAt(i) << 24 >> 24) / 127 * array.scale;
    array.values = values;
  }
  return array.values;
}

// Colours of a number from -1 to 1: blue, white, red.
function signedColour(x) {
  const a = Math.min(1, Math.abs(x)), end = x > 0 ? [178, 24, 43] : [33, 102, 172];
  return end.map(c => Math.round(255 + a * (c - 255)));
}
// Colours of a number from -1 to 1: black for 0, white for 1, blue for negative numbers.
function greyColour(x) {
  const a = Math.round(255 * Math.min(1, Math.abs(x)));
  return x >= 0 ? [a, a, a] : [0, Math.round(a / 2), a];
}
// Colours of a weight from 0 to 1, on the ground of the page.
function weightColour(x) {
  return [255, 255, 255].map((c, i) => Math.round(c + Math.min(1, x) * ([8, 48, 107][i] - c)));
}

// Draws numbers, (height, width), on a canvas; `pixel(value, i)` returns red, green and blue.
function drawNumbers(canvas, values, height, width, pixel) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const [r, g, b] = pixel(values[i], i);
    image.data.set([r, g, b, 255], 4 * i);
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

// The value below which a fraction of the absolute values lies.
function percentile(values, share) {
  const sorted = Float32Array.from(values, Math.abs).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] || sorted[sorted.length - 1] || 1;
}

function showHeader() {
  element('name').textContent = data.name;
  for (const note of data.notes || []) element('notes').append(createHtml('li', {}, note));
}
