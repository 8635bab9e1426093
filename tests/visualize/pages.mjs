// node pages.mjs MODULES KIND FILE.html SCREENSHOTS: clicks in a page of kapps.visualize and prints its content as JSON.
import {createRequire} from 'node:module';
import path from 'node:path';
import {pathToFileURL} from 'node:url';
const [, , modules, kind, file, images] = process.argv;
const {chromium} = createRequire(path.join(modules, 'x.js'))('playwright-core');

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', chromiumSandbox: false, args: ['--disable-gpu']});
try {
  const context = await browser.newContext({offline: true, viewport: {width: 1300, height: 900}});
  const page = await context.newPage();
  const requests = [], messages = [];
  const url = pathToFileURL(file).href;
  page.on('request', request => { if (!/^(blob:|data:)/.test(request.url()) && request.url() !== url) requests.push(request.url()); });
  page.on('pageerror', error => messages.push(error.message));
  // This program itself reads canvases several times.
  page.on('console', message => { if (['error', 'warning'].includes(message.type()) && !message.text().includes('willReadFrequently')) messages.push(message.text()); });
  await page.goto(url);
  await page.waitForFunction('document.body.dataset.ready', null, {timeout: 60000});
  const result = {title: await page.title(), name: await page.textContent('#name'), notes: await page.$$eval('#notes li', all => all.map(node => node.textContent))};
  const texts = selector => page.$$eval(selector, all => all.map(node => node.textContent));
  const shot = name => page.screenshot({path: path.join(images, name), fullPage: true});
  // The mean red, green and blue of a canvas, and whether the pixels differ.
  const canvas = selector => page.$eval(selector, node => {
    const {data} = node.getContext('2d').getImageData(0, 0, node.width, node.height), mean = [0, 1, 2].map(c => { let sum = 0; for (let i = c; i < data.length; i += 4) sum += data[i]; return sum / (data.length / 4); });
    return {size: [node.width, node.height], mean, first: [...data.slice(0, 3)]};
  });
  const background = selector => page.$eval(selector, node => getComputedStyle(node).backgroundColor);

  if (kind === 'image') {
    result.classes = await texts('#classes tbody tr td:first-child');
    result.shares = await texts('#classes tbody tr td:nth-child(3)');
    result.methods = await texts('#maps h3');
    result.kept = await texts('#maps .kept');
    result.checks = await page.$$eval('#maps .check', all => all.map(node => node.getAttribute('aria-label')));
    result.left = await texts('#left li');
    if (result.methods.length) {
      result.over = await canvas('#maps figure:nth-of-type(1) canvas');
      await page.click('#over');
      result.plain = await canvas('#maps figure:nth-of-type(1) canvas');
      await page.hover('#maps figure:nth-of-type(1) canvas', {position: {x: 3, y: 3}});
      result.value = await page.textContent('#value');
    }
    result.levels = await texts('#levels h3');
    result.units = await page.$$eval('.level', all => all.map(level => [...level.querySelectorAll('.unit')].map(node => node.textContent)));
    const chosen = async () => [await page.getAttribute('#unit', 'data-layer'), await page.getAttribute('#unit', 'data-unit')];
    await page.hover('.level:nth-of-type(1) .unit:nth-child(2)');
    result.hovered = await chosen();
    result.about = await page.textContent('#unit p');
    result.region = await canvas('#unit canvas.crop');
    result.images = await page.$$eval('#unit img', all => all.map(node => [node.alt, node.naturalWidth]));
    await page.focus('.level:nth-of-type(2) .unit:nth-child(1)');
    result.focused = await chosen();
    await page.keyboard.press('Enter');
    result.pinned = await page.getAttribute('.level:nth-of-type(2) .unit:nth-child(1)', 'aria-pressed');
    await page.hover('.level:nth-of-type(1) .unit:nth-child(1)');
    result.stays = await chosen();
    await shot('image.png');
    await page.keyboard.press('Escape');
    await page.hover('.level:nth-of-type(1) .unit:nth-child(2)');
    result.unpinned = await chosen();
    result.without = await page.$$eval('canvas:not([aria-label]):not([aria-hidden]), img:not([alt])', all => all.length);
  }
  if (kind === 'text') {
    result.layers = await texts('section h2');
    if (await page.$('#cells0')) {
      result.states = await texts('#cells0 select option');
      result.tokens = await texts('#cells0 .token');
      result.breaks = await page.$$eval('#cells0 .text br', all => all.length);
      result.groups = await texts('#cells0 .cells b');
      const cell = () => page.getAttribute('#cells0', 'data-cell');
      result.first = await cell();
      await page.fill('#cells0 input[type=number]', '3');
      result.typed = await cell();
      result.colours = await page.$$eval('#cells0 .token', all => all.map(node => getComputedStyle(node).backgroundColor));
      await page.click('#cells0 .cells:nth-of-type(3) button:nth-of-type(1)');
      result.clicked = [await cell(), await page.getAttribute('#cells0 .cells:nth-of-type(3) button:nth-of-type(1)', 'data-cell')];
      await page.selectOption('#cells0 select', 'forget');
      await page.click('#cells0 .token:nth-of-type(4)');
      result.status = await page.textContent('#cells0 .status');
      result.similar = await page.textContent('#cells0 .similar');
      await shot('cells.png');
    }
    if (await page.$('#attention')) {
      result.rows = await texts('#attention tr th');
      result.heads = await page.$$eval('#attention tr', all => all.map(row => row.querySelectorAll('.head').length));
      await page.click('#attention tr:nth-child(1) td:nth-of-type(2) .head');
      result.head = [await page.getAttribute('#head', 'data-layer'), await page.getAttribute('#head', 'data-head')];
      result.labels = await texts('#head svg text');
      result.lines = await page.$$eval('#head line', all => all.length);
      await page.focus('#head svg text:nth-of-type(1)');
      result.lineOfFirst = await page.$$eval('#head line', all => all.length);
      result.best = await page.textContent('#head .status');
      await shot('attention.png');
    }
    result.outputs = await texts('#outputs tbody tr');
  }
  if (kind === 'embedding') {
    await page.fill('#search', 'b');
    result.found = [await page.textContent('#found'), await texts('#results li')];
    await page.click('#results li:nth-child(1) button');
    result.chosen = await page.textContent('#chosen');
    result.neighbours = await texts('#neighbours li');
    await page.click('#neighbours li:nth-child(1) button');
    result.next = await page.textContent('#chosen');
    await shot('embedding.png');
    // A click on the place of the first vector.
    const place = await page.evaluate(() => { const box = canvas.getBoundingClientRect(), [x, y] = window.place ? window.place(0) : place(0); return [box.left + x, box.top + y]; });
    await page.mouse.move(...place);
    result.hover = await page.textContent('#hover');
    await page.mouse.click(...place);
    result.clicked = await page.textContent('#chosen');
    await page.click('#larger');
    await page.click('#fit');
  }
  await page.emulateMedia({colorScheme: 'dark'});
  result.dark = [await background('body'), await page.$eval('body', node => getComputedStyle(node).color)];
  await page.emulateMedia({colorScheme: 'light'});
  result.light = [await background('body'), await page.$eval('body', node => getComputedStyle(node).color)];
  await page.setViewportSize({width: 390, height: 844});
  await page.waitForTimeout(200);
  result.sideways = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  await shot('narrow.png');
  console.log(JSON.stringify({...result, requests, messages}));
} finally { await browser.close(); }
