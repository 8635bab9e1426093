// node page.mjs MODULES FILE.html SCREENSHOTS: uses a model's page as a person does, and prints what it shows as JSON.
import {createRequire} from 'node:module';
import path from 'node:path';
import {pathToFileURL} from 'node:url';
const [, , modules, file, images] = process.argv;
const {chromium} = createRequire(path.join(modules, 'x.js'))('playwright-core');

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', chromiumSandbox: false, args: ['--disable-gpu']});
try {
  const context = await browser.newContext({offline: true, viewport: {width: 1400, height: 1000}});
  const page = await context.newPage();
  const outside = [], said = [];
  const url = pathToFileURL(file).href;
  page.on('request', request => { if (!/^(blob:|data:)/.test(request.url()) && request.url() !== url) outside.push(request.url()); });
  page.on('pageerror', error => said.push(error.message));
  page.on('console', message => { if (['error', 'warning'].includes(message.type())) said.push(message.text()); });
  await page.goto(url);
  await page.waitForFunction('document.body.dataset.ready', null, {timeout: 60000});
  const texts = selector => page.$$eval(selector, all => all.map(each => each.textContent));
  const shot = name => page.screenshot({path: path.join(images, name), fullPage: true});
  const columns = () => texts('#table thead th');
  const column = async heading => {
    const n = (await columns()).indexOf(heading) + 1;
    return texts(`#table tbody td:nth-child(${n})`);
  };
  const header = heading => page.click(`#table thead button:text-is("${heading}")`);

  const found = {title: await page.title(), name: await page.textContent('#name'), totals: await texts('#totals dd')};
  found.nodes = await page.$$eval('.overview .node', all => all.map(each => [each.dataset.key, each.querySelector('text').textContent]));
  found.edges = await page.$$eval('.overview .edge', all => all.length);
  // No node lies on another.
  found.overlaps = await page.$$eval('.overview .node', all => {
    const boxes = all.map(each => each.getBoundingClientRect());
    return boxes.filter((a, i) => boxes.some((b, k) => k < i && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length;
  });
  found.charts = await texts('.chart h3');
  found.bars = await page.$$eval('.chart:nth-child(1) .slot', all => all.length);
  await shot('page.png');

  found.columns = await columns();
  found.blocks = await column('block');
  await header('MACs');
  found.descending = await column('MACs');
  found.sorted = await page.$eval('#table th[aria-sort=descending]', each => each.textContent);
  await header('MACs');
  found.ascending = await column('MACs');
  await header('block');
  found.named = await column('block');
  await page.click('#by button:text-is("layers")');
  found.layers = (await column('layer')).length;
  await page.fill('#filter', '_conv1');
  found.filtered = await column('layer');
  await page.fill('#filter', '');
  await page.click('#by button:text-is("blocks")');

  const open = Number(process.env.BLOCK || 1);
  found.hidden = await page.isHidden('#opened');
  await page.click(`.overview .node[data-key=block${open}]`);
  found.opened = await page.textContent('#opened h2');
  found.about = await page.textContent('#opened p');
  found.inner = await texts('#opened .node text:nth-of-type(1)');
  found.innerEdges = await page.$$eval('#opened .edge', all => all.length);
  found.inside = await texts('#opened tbody td:first-child');
  found.chosen = await page.$$eval('.overview .node.chosen', all => all.map(each => each.dataset.key));
  await shot('opened.png');
  await page.click('#opened button:text-is("close")');
  found.closed = await page.isHidden('#opened');
  await page.focus('.overview .node[data-key=block0]');
  await page.keyboard.press('Enter');
  found.byKey = await page.textContent('#opened h2');
  await page.click('#table tbody tr:last-child');
  found.byLine = await page.textContent('#opened h2');
  await page.click('.chart:nth-child(1) .slot:nth-last-child(1)');
  found.byBar = await page.textContent('#opened h2');
  const wide = () => page.$eval('.overview', each => each.getBoundingClientRect().width);
  const before = await wide();
  await page.click('#larger');
  found.larger = (await wide()) / before;
  await page.click('#fit');
  found.fits = await page.$eval('#graph', each => each.scrollWidth <= each.clientWidth);
  const overview = () => page.$eval('#overview', each => each.getBoundingClientRect().width);
  const slim = await overview();
  await page.click('#broad');
  found.broad = (await overview()) / slim;
  await shot('broad.png');
  await page.click('#broad');
  await page.setViewportSize({width: 420, height: 900});
  await page.waitForTimeout(300);
  found.sideways = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  await shot('narrow.png');
  console.log(JSON.stringify({...found, outside, said}));
} finally { await browser.close(); }
