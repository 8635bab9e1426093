// node demo.mjs MODULES URL GREEN.png SCREENSHOT: uses the page as a person does, and prints what it shows as JSON.
import {createRequire} from 'node:module';
import path from 'node:path';
const [, , modules, url, image, screenshot] = process.argv;
const {chromium} = createRequire(path.join(modules, 'x.js'))('playwright-core');

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', chromiumSandbox: false, args: ['--disable-gpu']});
try {
  const page = await browser.newPage();
  const outside = [], said = [];
  page.on('request', request => { if (!/^(blob:|data:)/.test(request.url()) && !request.url().startsWith(url)) outside.push(request.url()); });
  page.on('pageerror', error => said.push(error.message));
  await page.goto(url);
  await page.waitForFunction('document.body.dataset.ready', null, {timeout: 60000});
  const fault = () => page.textContent('#fault');
  const rows = () => page.$$eval('.row', all => all.map(row => [row.querySelector('.label').textContent, row.querySelector('.share').textContent, row.querySelector('.bar').getBoundingClientRect().width]));
  const found = {ready: await page.evaluate('document.body.dataset.ready'), name: await page.textContent('#name'), fault: await fault()};
  if (found.ready === 'yes') {
    await page.setInputFiles('#file', image);
    await page.waitForSelector('.row');
    found.image = await rows();
    found.time = await page.textContent('#time');
    await page.screenshot({path: screenshot});
    await page.click('#clear');
    found.cleared = (await rows()).length;
    const box = await (await page.$('#image')).boundingBox();
    await page.mouse.move(box.x + 60, box.y + 140);
    await page.mouse.down();
    for (let y = 10; y < 280; y += 15) await page.mouse.move(box.x + 280 * ((y / 15) % 2), box.y + y, {steps: 4});
    await page.mouse.up();
    await page.waitForSelector('.row');
    found.drawn = await rows();
    await page.setInputFiles('#file', {name: 'notes.txt', mimeType: 'image/png', buffer: Buffer.from('no image')});
    await page.waitForFunction("document.getElementById('fault').textContent");
    found.refused = await fault();
  }
  console.log(JSON.stringify({...found, outside, said}));
} finally { await browser.close(); }
