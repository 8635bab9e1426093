// node page.mjs MODULES FILE.html SCREENSHOTS: clicks, sorts and filters in the page of a profile and prints its content as JSON.
import {createRequire} from 'node:module';
import path from 'node:path';
import {pathToFileURL} from 'node:url';
const [, , modules, file, images] = process.argv;
const {chromium} = createRequire(path.join(modules, 'x.js'))('playwright-core');

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', chromiumSandbox: false, args: ['--disable-gpu']});
try {
  const context = await browser.newContext({offline: true, viewport: {width: 1400, height: 1000}});
  const page = await context.newPage();
  const requests = [], messages = [];
  const url = pathToFileURL(file).href;
  page.on('request', request => { if (!/^(blob:|data:)/.test(request.url()) && request.url() !== url) requests.push(request.url()); });
  page.on('pageerror', error => messages.push(error.message));
  page.on('console', message => { if (['error', 'warning'].includes(message.type())) messages.push(message.text()); });
  await page.goto(url);
  await page.waitForFunction('document.body.dataset.ready', null, {timeout: 60000});
  const texts = selector => page.$$eval(selector, all => all.map(node => node.textContent));
  const shot = name => page.screenshot({path: path.join(images, name), fullPage: true});
  const columns = () => texts('#table thead th');
  const column = async heading => {
    const n = (await columns()).indexOf(heading) + 1;
    return texts(`#table tbody td:nth-child(${n})`);
  };
  const header = heading => page.click(`#table thead button:text-is("${heading}")`);

  const result = {title: await page.title(), name: await page.textContent('#name'), totals: await texts('#totals dd')};
  result.nodes = await page.$$eval('.overview .node', all => all.map(node => [node.dataset.key, node.querySelector('text').textContent]));
  result.edges = await page.$$eval('.overview .edge', all => all.length);
  // No node overlaps another.
  result.overlaps = await page.$$eval('.overview .node', all => {
    const boxes = all.map(node => node.getBoundingClientRect());
    return boxes.filter((a, i) => boxes.some((b, k) => k < i && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length;
  });
  result.charts = await texts('.chart h3');
  result.bars = await page.$$eval('.chart:nth-child(1) .slot', all => all.length);
  await shot('page.png');

  result.columns = await columns();
  result.blocks = await column('block');
  await header('MACs');
  result.descending = await column('MACs');
  result.sorted = await page.$eval('#table th[aria-sort=descending]', node => node.textContent);
  await header('MACs');
  result.ascending = await column('MACs');
  await header('block');
  result.byName = await column('block');
  await page.click('#by button:text-is("layers")');
  result.layers = (await column('layer')).length;
  await page.fill('#filter', '_conv1');
  result.filtered = await column('layer');
  await page.fill('#filter', '');
  await page.click('#by button:text-is("blocks")');

  const open = Number(process.env.BLOCK || 1);
  result.hidden = await page.isHidden('#opened');
  await page.click(`.overview .node[data-key=block${open}]`);
  result.opened = await page.textContent('#opened h2');
  result.about = await page.textContent('#opened p');
  result.inner = await texts('#opened .node text:nth-of-type(1)');
  result.innerEdges = await page.$$eval('#opened .edge', all => all.length);
  result.inside = await texts('#opened tbody td:first-child');
  result.selected = await page.$$eval('.overview .node.selected', all => all.map(node => node.dataset.key));
  await shot('opened.png');
  await page.click('#opened button:text-is("close")');
  result.closed = await page.isHidden('#opened');
  await page.focus('.overview .node[data-key=block0]');
  await page.keyboard.press('Enter');
  result.byKey = await page.textContent('#opened h2');
  await page.click('#table tbody tr:last-child');
  result.byLine = await page.textContent('#opened h2');
  await page.click('.chart:nth-child(1) .slot:nth-last-child(1)');
  result.byBar = await page.textContent('#opened h2');
  const graphWidth = () => page.$eval('.overview', node => node.getBoundingClientRect().width);
  const before = await graphWidth();
  await page.click('#larger');
  result.larger = (await graphWidth()) / before;
  await page.click('#fit');
  result.fits = await page.$eval('#graph', node => node.scrollWidth <= node.clientWidth);
  const overview = () => page.$eval('#overview', node => node.getBoundingClientRect().width);
  const narrow = await overview();
  await page.click('#broad');
  result.broad = (await overview()) / narrow;
  await shot('broad.png');
  await page.click('#broad');
  await page.setViewportSize({width: 420, height: 900});
  await page.waitForTimeout(300);
  result.sideways = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  await shot('narrow.png');
  console.log(JSON.stringify({...result, requests, messages}));
} finally { await browser.close(); }
